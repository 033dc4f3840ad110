# Runs the shared vectors on the device's files, under whichever interpreter starts it; prints what
# differs, one line each, and "done N" at the end. No typing and no pathlib: MicroPython runs this.
import json
import sys

sys.path.insert(0, sys.argv[1])
folder = sys.argv[2]

from gwnode import config, protocol  # noqa: E402 - the path comes first


def load(name):
    with open(folder + "/" + name) as file:
        return json.load(file)


def unhex(text):
    return bytes([int(text[i : i + 2], 16) for i in range(0, len(text), 2)])


def payload_of(case):
    if "payload" in case:
        return case["payload"].encode()
    if "payload_hex" in case:
        return unhex(case["payload_hex"]) * case.get("times", 1)
    return b"".join([text.encode() * count for text, count in case["payload_parts"]])


def hmac():
    count = 0
    for case in load("hmac_vectors.json")["vectors"]:
        for wire in ("wire_utf8", "wire_ascii"):
            text = protocol.canonical(protocol.scan(case[wire].encode(), 20000))
            if text != case["canonical"]:
                print("hmac", case["name"], wire, text)
            elif protocol.hmac_hex(case["secret"], text) != case["sig"]:
                print("hmac sig", case["name"], wire)
            count += 1
    return count


def envelopes():
    count = 0
    for case in load("envelope.json")["take"]:
        node = case["node"]
        base = {"node_id": "x", "channels": [], "mqtt": {"host": "h", "port": 1}}
        base["node_secret"] = node["secret"]
        store = config.Store(base, claim_key=node["claim_key"] or "")
        store.good.revision, store.good.sha = node["revision"], node["sha256"]
        try:
            found = store.take(case["payload"].encode(), case["hardware_id"])
            word = None
        except protocol.Refused as refused:
            found, word = None, refused.word
        if word != case.get("refused"):
            print("envelope", case["name"], word, case.get("refused"))
        elif found and case["expect"].get("again") and found[0] != "again":
            print("envelope", case["name"], found[0])
        count += 1
    return count


def refused():
    count = 0
    words = ("not_utf8", "not_json", "depth")
    cases = load("refused.json")
    for case in cases if isinstance(cases, list) else cases["cases"]:
        if case["refused"] not in words or case.get("by") or "topic is looked at" in case["name"]:
            continue
        payload = payload_of(case)
        if len(payload) > 60000:
            continue
        try:
            protocol.scan(payload, 65536)
            word = None
        except protocol.Refused as found:
            word = found.word
        if word != case["refused"]:
            print("refused", case["name"], word, case["refused"])
        count += 1
    try:
        protocol.scan(b'"' + b"x" * 4096 + b'"')
        print("refused: 4098 bytes were taken")
    except protocol.Refused as found:
        count += found.word == "too_big"
    return count


def field():
    count = 0
    with open(folder + "/field_traffic.jsonl") as lines:
        for line in lines:
            message = json.loads(line)
            text = message["payload"]
            # the recording has a broken config in it on purpose
            if (
                message["direction"] == "node->backend"
                and text.startswith("{")
                and len(text) < 4097
            ):
                protocol.scan(text.encode())
                count += 1
    return count


print("done", hmac() + envelopes() + refused() + field())
