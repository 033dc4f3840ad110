"""Two functions; one line for one fact. What they print is what a person sees on the serial line."""

is_quiet = False  # only errors are printed


def info(text):
    if not is_quiet:
        print(text)


def error(text):
    print("error:", text)
