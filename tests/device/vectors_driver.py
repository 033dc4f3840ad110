# Runs the shared vectors on the device's files, under whichever interpreter starts it; prints what
# differs, one line each, and "done N" at the end. No typing and no pathlib: MicroPython runs this.
import json
import sys

sys.path.insert(0, sys.argv[1])
folder = sys.argv[2]

from gwnode import canonical, config, greeting, protocol  # noqa: E402 - the path comes first


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
            parts = []
            received = bytearray(case[wire].encode())
            protocol.scan(received, 20000)
            canonical.canonical_to(received, parts.append)
            text = b"".join(parts).decode()
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
            found = store.take(bytearray(case["payload"].encode()), case["hardware_id"])
            word = None
        except protocol.Refused as refused:
            found, word = None, refused.word
        if word != case.get("refused"):
            print("envelope", case["name"], word, case.get("refused"))
        elif found and case["expect"].get("again") and found[0] != "again":
            print("envelope", case["name"], found[0])
        count += 1
    return count


def signatures():
    count = 0
    for name in ("hello.json", "config.json"):
        for case in load(name)["signatures"]:
            if protocol.sign(case["key"], *case["parts"]) != case["sig"]:
                print("signature", name, case["name"])
            count += 1
    for case in load("config.json")["envelopes"]:
        if protocol.sha256_hex(case["doc"].encode()) != case["sha256"]:
            print("envelope hash", case["name"])
        parts = case["hardware_id"], case["revision"], case["sha256"]
        if protocol.sign(case["key_text"], "config", *parts) != case["sig"]:
            print("envelope signature", case["name"])
        count += 1
    return count


def receipts():
    count = 0
    for case in load("hello.json")["receipts"]:
        message = protocol.parse(case["payload"].encode())
        if case["secret"] is None:
            if message["accepted"] is not False or greeting._word(message["reason"]) == "?":
                print("receipt", case["name"])
        elif greeting._is_signed(message, case["secret"]) is not case["signed"]:
            print("receipt", case["name"])
        count += 1
    return count


def names():
    count = 0
    data = load("topics.json")
    for gh, zone, expected in data["is_temp"]:
        if protocol.is_temp(gh, zone) is not expected:
            print("is_temp", gh, zone)
        count += 1
    for name, expected in data["is_uid"]:
        # the node compares after lower-casing
        if (protocol.is_name(name) and name == name.lower()) is not expected:
            print("is_uid", repr(name))
        count += 1
    for case in data["build"]:
        kind = {"hello_ack": "hello_ack", "temp_config": "config"}.get(case["build"])
        if kind and "expect" in case:
            if protocol.temp_topic("hydro", case["args"][0], kind) != case["expect"]:
                print("topic", case["name"])
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


print("done", hmac() + envelopes() + signatures() + receipts() + names() + refused() + field())
