#!/usr/bin/env python3
"""Writes envelope.txt: known answers for wrapped keys, without OpenSSL and the library's code.

The primitives are those of make_frame_vectors.py, written out from their standards.

    ./make_envelope_vectors.py > envelope.txt
    ./make_envelope_vectors.py --seeds ../fuzz/corpus/wrapped_key_fuzz > envelope.txt

The second form also writes each value as a seed of the fuzz target.
"""
import argparse
import base64
import pathlib
import struct
import sys

import make_frame_vectors as primitives

NAME = b"ClusterEncryptionKey"


def fields(*parts):
    return b"".join(struct.pack(">H", len(part)) + part for part in parts)


def kek_id(kek):
    return primitives.hkdf(kek, b"", b"sotto/1 kek-id", 8)


def kek_id_text(kek):
    return base64.urlsafe_b64encode(kek_id(kek)).rstrip(b"=")


def wrap(kek, cluster, generation, key, nonce):
    commitment = primitives.hkdf(kek, nonce, b"sotto/1 commit", 32)
    aes = primitives.hkdf(kek, nonce, b"sotto/1 wrap-key", 32)
    number = struct.pack(">Q", generation)
    data = fields(b"sotto/1 wrap", NAME, cluster, kek_id(kek), number)
    box = commitment + nonce + primitives.gcm_seal(aes, nonce, data, key)
    value = b"sottok1:%s:%d:%s" % (kek_id_text(kek), generation, base64.b64encode(box))
    return {
        "kek": kek,
        "kek_id": kek_id(kek),
        "kek_id_text": kek_id_text(kek),
        "cluster": cluster,
        "generation": number,
        "key": key,
        "nonce": nonce,
        "commitment": commitment,
        "aes": aes,
        "data": data,
        "value": value,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=pathlib.Path, help="folder for the values as files")
    seeds = parser.parse_args().seeds
    primitives.self_check()
    print("# Made by make_envelope_vectors.py. All values are hex.\n")
    keks = [primitives.sha256(b"kek %d" % i) for i in range(2)]
    cases = [
        (keks[0], b"edge-prod", 1, 16),
        (keks[0], b"edge-prod", 2, 24),
        (keks[0], b"edge-prod", 3, 32),
        (keks[1], b"c" * 40, 2**63 - 1, 32),
        (keks[1], b"e", 10, 32),
    ]
    for number, (kek, cluster, generation, size) in enumerate(cases):
        key = primitives.sha256(b"key %d" % number)[:size]
        nonce = primitives.sha256(b"nonce %d" % number)[:12]
        case = wrap(kek, cluster, generation, key, nonce)
        primitives.show("wrapped", case)
        if seeds:
            seeds.mkdir(parents=True, exist_ok=True)
            (seeds / f"wrapped-{number}").write_bytes(case["value"])


if __name__ == "__main__":
    sys.exit(main())
