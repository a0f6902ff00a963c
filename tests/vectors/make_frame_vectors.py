#!/usr/bin/env python3
"""Writes frames.txt: known answers for frames, made without OpenSSL and without the library's code.

AES, GCM, SHA-256, HMAC, HKDF and X25519 are written out here from their standards and checked
against published answers before anything is written. Slow and not in constant time: for test
vectors only.

    ./make_frame_vectors.py > frames.txt
    ./make_frame_vectors.py --seeds ../fuzz/corpus/frame_open_fuzz > frames.txt

The second form also writes each frame as a seed of the fuzz target.
"""
import argparse
import hashlib
import hmac as fast_hmac
import pathlib
import struct
import sys


# ---- SHA-256 (FIPS 180-4), HMAC (RFC 2104), HKDF (RFC 5869) -------------------------------------
def _primes(count):
    found, n = [], 2
    while len(found) < count:
        if all(n % p for p in found):
            found.append(n)
        n += 1
    return found


def _root_bits(n, root):
    """The first 32 bits of the fraction of the root-th root of n."""
    scaled, low, high = n << (32 * root), 0, n << 32
    while low < high:
        middle = (low + high + 1) // 2
        if middle**root <= scaled:
            low = middle
        else:
            high = middle - 1
    return low & 0xFFFFFFFF


SHA_K = [_root_bits(p, 3) for p in _primes(64)]
SHA_H = [_root_bits(p, 2) for p in _primes(8)]


def _ror(x, n):
    return (x >> n | x << (32 - n)) & 0xFFFFFFFF


def sha256(data):
    h = list(SHA_H)
    data += b"\x80" + b"\0" * ((55 - len(data)) % 64) + struct.pack(">Q", 8 * len(data))
    for at in range(0, len(data), 64):
        w = list(struct.unpack(">16I", data[at : at + 64]))
        for i in range(16, 64):
            s0 = _ror(w[i - 15], 7) ^ _ror(w[i - 15], 18) ^ w[i - 15] >> 3
            s1 = _ror(w[i - 2], 17) ^ _ror(w[i - 2], 19) ^ w[i - 2] >> 10
            w.append((w[i - 16] + s0 + w[i - 7] + s1) & 0xFFFFFFFF)
        a, b, c, d, e, f, g, hh = h
        for i in range(64):
            t1 = hh + (_ror(e, 6) ^ _ror(e, 11) ^ _ror(e, 25)) + (e & f ^ ~e & g) + SHA_K[i] + w[i]
            t2 = (_ror(a, 2) ^ _ror(a, 13) ^ _ror(a, 22)) + (a & b ^ a & c ^ b & c)
            hh, g, f, e = g, f, e, (d + t1) & 0xFFFFFFFF
            d, c, b, a = c, b, a, (t1 + t2) & 0xFFFFFFFF
        h = [(x + y) & 0xFFFFFFFF for x, y in zip(h, (a, b, c, d, e, f, g, hh))]
    return struct.pack(">8I", *h)


def hmac(key, data):
    key = (sha256(key) if len(key) > 64 else key).ljust(64, b"\0")
    inner = sha256(bytes(k ^ 0x36 for k in key) + data)
    return sha256(bytes(k ^ 0x5C for k in key) + inner)


def hkdf(ikm, salt, info, size):
    prk = hmac(salt or b"\0" * 32, ikm)
    out, block = b"", b""
    for i in range(1, -(-size // 32) + 1):
        block = hmac(prk, block + info + bytes([i]))
        out += block
    return out[:size]


# ---- AES (FIPS 197) and GCM (SP 800-38D) --------------------------------------------------------
def _xtime(x):
    return (x << 1 ^ 0x11B) & 0xFF if x & 0x80 else x << 1


def _gf256(a, b):
    product = 0
    while b:
        if b & 1:
            product ^= a
        a, b = _xtime(a), b >> 1
    return product


def _sbox():
    box = []
    for x in range(256):
        inverse = next((y for y in range(256) if _gf256(x, y) == 1), 0)
        bits = 0
        for i in range(8):
            bit = 0x63 >> i & 1
            for j in (0, 4, 5, 6, 7):
                bit ^= inverse >> (i + j) % 8 & 1
            bits |= bit << i
        box.append(bits)
    return box


SBOX = _sbox()


def aes_schedule(key):
    nk = len(key) // 4
    words, rcon = [list(key[4 * i : 4 * i + 4]) for i in range(nk)], 1
    for i in range(nk, 4 * (nk + 7)):
        word = list(words[-1])
        if i % nk == 0:
            word = [SBOX[b] for b in word[1:] + word[:1]]
            word[0] ^= rcon
            rcon = _xtime(rcon)
        elif nk > 6 and i % nk == 4:
            word = [SBOX[b] for b in word]
        words.append([a ^ b for a, b in zip(words[i - nk], word)])
    return [sum(words[i : i + 4], []) for i in range(0, len(words), 4)]


def aes_block(schedule, block):
    state = [a ^ b for a, b in zip(block, schedule[0])]
    for number, round_key in enumerate(schedule[1:], 1):
        state = [SBOX[b] for b in state]
        state = [state[(i + 4 * (i % 4)) % 16] for i in range(16)]
        if number < len(schedule) - 1:
            mixed = []
            for c in range(0, 16, 4):
                col = state[c : c + 4]
                for r in range(4):
                    mixed.append(
                        _gf256(col[r], 2)
                        ^ _gf256(col[(r + 1) % 4], 3)
                        ^ col[(r + 2) % 4]
                        ^ col[(r + 3) % 4]
                    )
            state = mixed
        state = [a ^ b for a, b in zip(state, round_key)]
    return bytes(state)


def _gf128(x, y):
    product = 0
    for i in range(127, -1, -1):
        if y >> i & 1:
            product ^= x
        x = x >> 1 ^ (0xE1 << 120 if x & 1 else 0)
    return product


def gcm_seal(key, nonce, data, plaintext):
    schedule = aes_schedule(key)
    h = int.from_bytes(aes_block(schedule, bytes(16)), "big")
    out = b""
    for i in range(0, len(plaintext), 16):
        pad = aes_block(schedule, nonce + struct.pack(">I", 2 + i // 16))
        out += bytes(a ^ b for a, b in zip(plaintext[i : i + 16], pad))
    y = 0
    padded = data + b"\0" * (-len(data) % 16) + out + b"\0" * (-len(out) % 16)
    padded += struct.pack(">QQ", 8 * len(data), 8 * len(out))
    for i in range(0, len(padded), 16):
        y = _gf128(y ^ int.from_bytes(padded[i : i + 16], "big"), h)
    pad = aes_block(schedule, nonce + b"\0\0\0\1")
    return out + bytes(a ^ b for a, b in zip(y.to_bytes(16, "big"), pad))


# ---- X25519 (RFC 7748) --------------------------------------------------------------------------
P = 2**255 - 19


def x25519(scalar, u=(9).to_bytes(32, "little")):
    k = int.from_bytes(scalar, "little") & ~7 & (2**255 - 1) | 2**254
    x1 = int.from_bytes(u, "little") & (2**255 - 1)
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in range(254, -1, -1):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % P, b * b % P, d * a % P, c * b % P
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, e * (aa + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


# ---- sotto's frames -----------------------------------------------------------------------------
def short(text):
    return bytes([len(text)]) + text


def key_id(key, cluster):
    return hkdf(key, b"", b"sotto/1 key-id\0" + short(cluster), 4)


class Process:
    def __init__(self, cluster, name, seed):
        self.cluster, self.name = cluster, name
        self.nonce = sha256(seed + b" nonce")[:16]
        self.private = sha256(seed + b" x25519")
        self.public = x25519(self.private)
        text = b"sotto/1 boot" + short(cluster) + short(name) + self.nonce
        self.boot = sha256(text)[:8]


def frame(kind, key, sender, receiver, sequence, counter, plaintext):
    cluster, algorithm = sender.cluster, {16: 0, 24: 1, 32: 2}[len(key)]
    agreed = x25519(sender.private, receiver.public) if kind == "frame" else b""
    ikm = key + agreed
    salt = sender.boot + struct.pack(">I", sequence)
    info = b"sotto/1 " + kind.encode() + bytes([0, algorithm]) + short(cluster) + receiver.boot
    okm = hkdf(ikm, salt, info, len(key) + 12)
    subkey, iv = okm[: len(key)], okm[len(key) :]
    header = bytes([1 << 3 | algorithm << 1]) + key_id(key, cluster) + salt
    header += struct.pack(">I", counter)
    nonce = iv[:8] + bytes(a ^ b for a, b in zip(iv[8:], struct.pack(">I", counter)))
    sealed = header + gcm_seal(subkey, nonce, header + receiver.boot, plaintext)
    return {
        "ikm": ikm,
        "salt": salt,
        "info": info,
        "okm": okm,
        "sequence": struct.pack(">I", sequence),
        "counter": struct.pack(">I", counter),
        "plaintext": plaintext,
        "frame": sealed,
    }


def colliding_keys(cluster):
    """Two keys with one id. The search uses the system's HMAC, for speed; its find is checked."""
    info, seen, n = b"sotto/1 key-id\0" + short(cluster) + b"\1", {}, 0
    while True:
        key = hashlib.sha256(b"collision %d" % n).digest()[:16]
        prk = fast_hmac.digest(bytes(32), key, "sha256")
        found = fast_hmac.digest(prk, info, "sha256")[:4]
        if found in seen:
            assert key_id(key, cluster) == key_id(seen[found], cluster) == found
            return seen[found], key, found
        seen[found] = key
        n += 1


def self_check():
    def h(text):
        return bytes.fromhex(text.replace(" ", ""))

    assert sha256(b"abc").hex().startswith("ba7816bf8f01cfea")
    # RFC 5869, case 1.
    okm = hkdf(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)), 42)
    assert okm.hex().startswith("3cb25f25faacd57a90434f64d0362f2a") and okm.hex().endswith("5865")
    # FIPS 197, appendix C.
    text = bytes(range(0, 256, 17))
    for size, want in ((16, "69c4e0d8"), (24, "dda97ca4"), (32, "8ea2b7ca")):
        assert aes_block(aes_schedule(bytes(range(size))), text).hex().startswith(want)
    # The GCM specification, test case 4.
    sealed = gcm_seal(
        h("feffe9928665731c6d6a8f9467308308"),
        h("cafebabefacedbaddecaf888"),
        h("feedfacedeadbeeffeedfacedeadbeefabaddad2"),
        h(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
        ),
    )
    assert sealed.hex().endswith("5bc94fbc3221a5db94fae95ae7121a47")
    # RFC 7748, 6.1.
    alice = h("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
    bob = h("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    assert x25519(alice, x25519(bob)).hex() == x25519(bob, x25519(alice)).hex() == shared


def show(name, fields):
    print(f"[{name}]")
    for field, value in fields.items():
        print(f"{field} = {value.hex()}")
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=pathlib.Path, help="folder for the frames as files")
    seeds = parser.parse_args().seeds
    self_check()
    cluster = b"edge-prod"
    gw, db = Process(cluster, b"gw-1", b"gw"), Process(cluster, b"db.eu-2", b"db")
    print("# Made by make_frame_vectors.py. All values are hex.\n")
    for who in (gw, db):
        show(
            "process",
            {
                "cluster": cluster,
                "name": who.name,
                "nonce": who.nonce,
                "private": who.private,
                "public": who.public,
                "boot": who.boot,
            },
        )
    for size in (16, 24, 32):
        key = sha256(b"cluster key %d" % size)[:size]
        show("key", {"cluster": cluster, "key": key, "key_id": key_id(key, cluster)})
        cases = [
            ("frame", 1, 1, b"a"),
            ("frame", 1, 2, b"the second datagram of a pair, longer than two blocks of AES"),
            ("frame", 0x12345, 0x7FFFFF, bytes(range(256)) * 4),
            ("hello", 1 << 30 | 1, 1, b"hello, this is my Alive"),
            ("stream", 1 << 31 | 1, 1, b"first chunk"),
            ("stream", 1 << 31 | 1, 2, b"second chunk, " * 40),
        ]
        for kind, sequence, counter, plaintext in cases:
            fields = frame(kind, key, gw, db, sequence, counter, plaintext)
            show(kind, {"key": key, **fields})
            if seeds:
                name = f"{kind}-{8 * size}-{sequence:08x}-{counter}"
                (seeds / name).write_bytes(fields["frame"])
    one, two, shared = colliding_keys(cluster)
    show("collision", {"cluster": cluster, "one": one, "two": two, "key_id": shared})


if __name__ == "__main__":
    sys.exit(main())
