// Measures a cluster of hashicorp/memberlist nodes in one process on loopback, for
// tools/bench/compare: the peer of tools/bench/cluster.cc, step by step and field by field.
//
// The library is Debian's golang-github-hashicorp-memberlist-dev. Nodes run its LAN profile with an
// AES-256 keyring and without compression. User messages ride on its own broadcast queue, and every
// node passes on what it hears for the first time, as serf does.
//
//	memberlist -nodes 100 -kill 5 -steady 20s
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	joinLimit    = 120 * time.Second
	rest         = 5 * time.Second
	messageCount = 10
	messageLimit = 10 * time.Second
	deathLimit   = 60 * time.Second
	look         = 5 * time.Millisecond
)

// message is one entry of memberlist's broadcast queue.
type message struct{ text string }

func (m message) Invalidates(memberlist.Broadcast) bool { return false }
func (m message) Message() []byte                       { return []byte(m.text) }
func (m message) Finished()                             {}

// node is one member with all that it has been told.
type node struct {
	name  string
	list  *memberlist.Memberlist
	queue memberlist.TransmitLimitedQueue

	mutex  sync.Mutex
	deaths map[string][]time.Time
	heard  map[string]time.Time
}

func (n *node) NotifyJoin(*memberlist.Node)   {}
func (n *node) NotifyUpdate(*memberlist.Node) {}
func (n *node) NotifyLeave(who *memberlist.Node) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.deaths[who.Name] = append(n.deaths[who.Name], time.Now())
}

func (n *node) NodeMeta(int) []byte           { return []byte("role=web") }
func (n *node) LocalState(bool) []byte        { return nil }
func (n *node) MergeRemoteState([]byte, bool) {}
func (n *node) GetBroadcasts(overhead, limit int) [][]byte {
	return n.queue.GetBroadcasts(overhead, limit)
}
func (n *node) NotifyMsg(raw []byte) {
	text := string(raw)
	n.mutex.Lock()
	_, known := n.heard[text]
	if !known {
		n.heard[text] = time.Now()
	}
	n.mutex.Unlock()
	if !known {
		n.queue.QueueBroadcast(message{text})
	}
}

func (n *node) deadSince(name string) (time.Time, bool) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if times := n.deaths[name]; len(times) > 0 {
		return times[0], true
	}
	return time.Time{}, false
}

func (n *node) heardAt(text string) (time.Time, bool) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	at, ok := n.heard[text]
	return at, ok
}

func start(index, nodes int, key []byte) (*node, error) {
	n := &node{
		name:   fmt.Sprintf("node-%04d", index),
		deaths: map[string][]time.Time{},
		heard:  map[string]time.Time{},
	}
	config := memberlist.DefaultLANConfig()
	config.Name = n.name
	config.BindAddr = "127.0.0.1"
	config.BindPort, config.AdvertisePort = 0, 0
	config.SecretKey = key
	config.EnableCompression = false
	config.LogOutput = io.Discard
	config.Events = n
	config.Delegate = n
	n.queue.NumNodes = func() int { return nodes }
	n.queue.RetransmitMult = config.RetransmitMult
	var err error
	n.list, err = memberlist.Create(config)
	return n, err
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	of := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return of(usage.Utime) + of(usage.Stime)
}

func residentBytes() int64 {
	text, _ := os.ReadFile("/proc/self/statm")
	pages, _ := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// loopback tells the bytes and packets that this network namespace's loopback has received.
func loopback() (bytes, packets float64) {
	file, err := os.Open("/proc/net/dev")
	if err != nil {
		return 0, 0
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, counters, found := strings.Cut(strings.TrimSpace(lines.Text()), ":")
		if !found || name != "lo" {
			continue
		}
		fields := strings.Fields(counters)
		bytes, _ = strconv.ParseFloat(fields[0], 64)
		packets, _ = strconv.ParseFloat(fields[1], 64)
	}
	return bytes, packets
}

// percentile is the sample at this part of the sorted samples, rounded down; -1 without samples.
func percentile(samples []float64, part float64) float64 {
	if len(samples) == 0 {
		return -1
	}
	sorted := append([]float64(nil), samples...)
	sort.Float64s(sorted)
	return sorted[int(part*float64(len(sorted)-1))]
}

// await asks until it is answered, and returns the seconds from begun to the answer; -1 at limit.
func await(begun time.Time, limit time.Duration, ask func() (time.Time, bool)) float64 {
	for time.Since(begun) < limit {
		if at, ok := ask(); ok {
			return at.Sub(begun).Seconds()
		}
		time.Sleep(look)
	}
	return -1
}

type bench struct {
	nodes []*node
	out   map[string]interface{}
}

func (b *bench) join() {
	contact := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(b.nodes[0].list.LocalNode().Port)))
	begun, cpu := time.Now(), cpuSeconds()
	var joiners sync.WaitGroup
	var retries int64
	for _, n := range b.nodes[1:] {
		joiners.Add(1)
		go func(n *node) {
			defer joiners.Done()
			for try := 0; try < 60; try++ { // as whoever supervises it would
				if reached, err := n.list.Join([]string{contact}); err == nil && reached > 0 {
					return
				}
				atomic.AddInt64(&retries, 1)
				time.Sleep(time.Second)
			}
		}(n)
	}
	joiners.Wait()
	complete := func() bool {
		for _, n := range b.nodes {
			if n.list.NumMembers() != len(b.nodes) {
				return false
			}
		}
		return true
	}
	for !complete() {
		if time.Since(begun) > joinLimit {
			b.out["join_timeout"] = true
			break
		}
		time.Sleep(look)
	}
	b.out["join_converge_s"] = time.Since(begun).Seconds()
	b.out["join_retries"] = retries
	b.out["join_cpu_s"] = cpuSeconds() - cpu
}

func (b *bench) steady(duration time.Duration, residentBefore int64) {
	runtime.GC()
	bytes, packets := loopback()
	cpu, begun := cpuSeconds(), time.Now()
	time.Sleep(duration)
	bytesAfter, packetsAfter := loopback()
	nodeSeconds := time.Since(begun).Seconds() * float64(len(b.nodes))
	b.out["steady_cpu_ms_per_node_s"] = (cpuSeconds() - cpu) * 1000 / nodeSeconds
	b.out["steady_bytes_per_node_s"] = (bytesAfter - bytes) / nodeSeconds
	b.out["steady_packets_per_node_s"] = (packetsAfter - packets) / nodeSeconds
	b.out["rss_bytes_per_node"] = (residentBytes() - residentBefore) / int64(len(b.nodes))
}

func (b *bench) messages() {
	var each, all []float64
	for k := 0; k < messageCount; k++ {
		from := k % len(b.nodes)
		text := fmt.Sprintf("message-%d-%064d", k, k)
		begun := time.Now()
		b.nodes[from].queue.QueueBroadcast(message{text})
		last := 0.0
		for i, n := range b.nodes {
			if i == from {
				continue
			}
			took := await(begun, messageLimit, func() (time.Time, bool) { return n.heardAt(text) })
			if took < 0 {
				last = -1
				break
			}
			each = append(each, took)
			if took > last {
				last = took
			}
		}
		all = append(all, last)
	}
	b.out["broadcast_p50_s"] = percentile(each, 0.5)
	b.out["broadcast_p99_s"] = percentile(each, 0.99)
	b.out["broadcast_all_median_s"] = percentile(all, 0.5)
}

// kills shuts members down without leaving, one after another, and returns their names.
func (b *bench) kills(count int) map[string]bool {
	killed := map[string]bool{}
	var first, all []float64
	for k := 0; k < count; k++ {
		victim := b.nodes[len(b.nodes)-1-k]
		killed[victim.name] = true
		begun := time.Now()
		victim.list.Shutdown()
		least, most := deathLimit.Seconds(), 0.0
		for _, n := range b.nodes[:len(b.nodes)-1-k] {
			took := await(begun, deathLimit, func() (time.Time, bool) {
				return n.deadSince(victim.name)
			})
			if took < 0 {
				most = -1
				break
			}
			if took < least {
				least = took
			}
			if took > most {
				most = took
			}
		}
		first, all = append(first, least), append(all, most)
	}
	b.out["crash_first_dead_median_s"] = percentile(first, 0.5)
	b.out["crash_all_dead_median_s"] = percentile(all, 0.5)
	return killed
}

func (b *bench) falseDeaths(killed map[string]bool) {
	count := 0
	for _, n := range b.nodes {
		if killed[n.name] {
			continue
		}
		n.mutex.Lock()
		for name, times := range n.deaths {
			if !killed[name] {
				count += len(times)
			}
		}
		n.mutex.Unlock()
	}
	b.out["false_dead_events"] = count
}

func main() {
	nodes := flag.Int("nodes", 100, "nodes")
	kill := flag.Int("kill", 5, "nodes killed, one after another")
	steady := flag.Duration("steady", 20*time.Second, "how long the resting cluster is measured")
	flag.Parse()
	if *nodes < 2 || *kill > *nodes-2 || *kill < 0 {
		fmt.Fprintln(os.Stderr, "at least two nodes must be left")
		os.Exit(2)
	}
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i*41 + 3)
	}
	b := &bench{out: map[string]interface{}{"peer": "memberlist", "nodes": *nodes}}
	before := residentBytes()
	for i := 0; i < *nodes; i++ {
		n, err := start(i, *nodes, key)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		b.nodes = append(b.nodes, n)
	}
	b.join()
	time.Sleep(rest)
	b.steady(*steady, before)
	b.messages()
	b.falseDeaths(b.kills(*kill))
	text, _ := json.Marshal(b.out)
	fmt.Println(string(text))
}
