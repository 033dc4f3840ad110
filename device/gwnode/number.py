"""Numbers in canonical form (A7), from their text, without floats: a board's have 32 bits."""
# The canonical form is that of C's %.15g, or %.17g where 15 digits do not bring the 64-bit number
# back. Both are computed exactly, with integers: a token is N * 10^e, the number that a sender means
# is the nearest m * 2^k with 53 bits of m, or fewer where k would be below -1074.

from . import const

_LEAST = const(-1074)
_NOTHING = const(-5000)  # a payload has no room for the digits that would bring 10^-5000 back


def canonical_number(token):
    """The canonical text of a JSON number."""
    if "." not in token and "e" not in token and "E" not in token:
        return token if token != "-0" else "0"
    sign = "-" if token[0] == "-" else ""
    digits, exponent = _parse(token.lstrip("-"))
    if digits == 0 or exponent < _NOTHING:
        return "0"
    top, bottom = _nearest(digits, exponent)
    if top == 0:
        return "0"
    if top % bottom == 0 and top // bottom < 10**15:
        return sign + str(top // bottom)
    text = _general(top, bottom, 15)
    back_top, back_bottom = _nearest(*_parse(text))
    # the difference against the larger of the two times 2^-52, all multiplied out
    difference = abs(top * back_bottom - back_top * bottom) << 52
    if difference > max(top * back_bottom, back_top * bottom):
        text = _general(top, bottom, 17)
    return sign + text


def _parse(token):
    """(N, e) of a token without its sign."""
    mantissa, _, exponent = token.lower().partition("e")
    whole, _, part = mantissa.partition(".")
    return int(whole + part), int(exponent or "0") - len(part)


def _nearest(digits, exponent):
    """The nearest 64-bit number as an exact fraction, halves to even."""
    if digits == 0:
        return 0, 1
    top, bottom = digits, 1
    if exponent >= 0:
        top *= 10**exponent
    else:
        bottom = 10**-exponent
    shift = 0
    while top >> 53 >= bottom:
        bottom <<= 1
        shift += 1
    least = bottom << 52
    while top < least and shift > _LEAST:
        top <<= 1
        shift -= 1
    mantissa, rest = divmod(top, bottom)
    if rest * 2 > bottom or (rest * 2 == bottom and mantissa & 1):
        mantissa += 1
    return (mantissa << shift, 1) if shift >= 0 else (mantissa, 1 << -shift)


def _general(top, bottom, places):
    """C's %.{places}g of a fraction."""
    exponent = 0
    while top >= bottom * 10:
        bottom *= 10
        exponent += 1
    while top < bottom:
        top *= 10
        exponent -= 1
    digits, rest = divmod(top * 10 ** (places - 1), bottom)
    if rest * 2 > bottom or (rest * 2 == bottom and digits & 1):
        digits += 1
    if digits == 10**places:
        digits //= 10
        exponent += 1
    text = str(digits)
    if exponent < -4 or exponent >= places:
        text = (text[0] + "." + text[1:]).rstrip("0").rstrip(".")
        return "%se%s%02d" % (text, "-" if exponent < 0 else "+", abs(exponent))
    if exponent < 0:
        return ("0." + "0" * (-exponent - 1) + text).rstrip("0")
    whole, part = text[: exponent + 1], text[exponent + 1 :].rstrip("0")
    return whole + "." + part if part else whole
