# What a node goes through, as two tables: state -> what happens -> state, and what it does then. The
# pictures in docs/node/states.md are made from them, and test_states.py plays every row on the real node.
# No typing and no pytest: this runs in MicroPython too.

CONNECTION = (
    ("away", "the broker takes it", "asking", "subscribes, says hello, reports its config"),
    (
        "away",
        "the broker is not reached",
        "away",
        "tries again after 1, 2, 4 ... 60 s, with jitter",
    ),
    ("asking", "no answer", "asking", "says hello again after 1, 2, 4 ... s, with jitter"),
    ("asking", "ten hellos without an answer", "patient", "beats, and asks once a minute"),
    ("asking", "a receipt that says no, or cannot be checked", "patient", "logs why"),
    ("asking", "a receipt that counts", "heard", "sets its clock, says ONLINE, beats"),
    ("patient", "a minute", "patient", "says hello again"),
    ("patient", "a receipt that counts", "heard", "sets its clock, says ONLINE, beats"),
    ("heard", "the connection breaks", "away", "counts what was not acknowledged as lost"),
    ("patient", "the connection breaks", "away", "counts what was not acknowledged as lost"),
)
CONFIG = (
    ("proved", "a signed config", "writing", "reports received; the record first, then the slot"),
    ("proved", "a config that is wrong in itself", "proved", "reports rejected, reason and path"),
    ("proved", "the same config again", "proved", "reports verified"),
    ("proved", "the config that failed last", "proved", "repeats its answer, tries nothing"),
    ("writing", "flash has it", "trial", "connects anew, as the document says"),
    ("writing", "flash refuses it", "proved", "reports rejected, reason flash"),
    ("trial", "a signed receipt for a hello of this trial", "proved", "reports verified"),
    ("trial", "trial_s without one", "proved", "goes back, connects, reports rolled_back once"),
    (
        "trial",
        "a fourth boot without one",
        "proved",
        "goes back, connects, reports rolled_back once",
    ),
    ("trial", "a newer config", "writing", "gives the trial up for it"),
)


def picture(table):
    """A state diagram for Mermaid."""
    lines = ["```mermaid", "stateDiagram-v2"]
    lines.append("    [*] --> %s" % table[0][0])
    lines += ["    %s --> %s: %s" % (before, after, what) for before, what, after, _ in table]
    return "\n".join(lines + ["```"])


def listing(table):
    """The same as a table, with what the node does."""
    lines = ["| state | what happens | then | and the node |", "|---|---|---|---|"]
    lines += ["| %s | %s | %s | %s |" % (row[0], row[1], row[2], row[3]) for row in table]
    return "\n".join(lines)
