"""The Wi-Fi manager: the strongest known network, and patience with those that do not answer."""

from gwnode.wifi import Wifi
from radio import FAILURES, IDLE, Radio

HOME = {"ssid": "home", "pass": "word"}
BARN = {"ssid": "barn", "pass": "hay"}


def live(wifi, wanted, start, seconds):
    """Tick as the loop does; (milliseconds, whether it is joined)."""
    now = start
    while now < start + seconds * 1000:
        now += 50
        if wifi.tick(wanted, now):
            return now, True
    return now, False


def test_one_network_is_joined_without_a_scan():
    """There is nothing to choose, and a scan costs seconds."""
    radio = Radio(home=("word", -60))
    wifi = Wifi(radio, FAILURES)
    assert live(wifi, HOME, 0, 1)[1]
    assert wifi.joined
    assert (radio.joins, radio.scans) == (["home"], 0)


def test_the_strongest_known_network_is_tried_first():
    """Whatever order node.json has; what is in the air and not ours is left alone."""
    radio = Radio(home=("word", -80), barn=("hay", -50), neighbour=("x", -10))
    assert live(Wifi(radio, FAILURES), [HOME, BARN], 0, 1)[1]
    assert radio.joins == ["barn"]


def test_a_hidden_network_is_tried_after_those_that_are_seen():
    """A scan that does not see it proves nothing."""
    radio = Radio(home=("word", -80), barn=("other", -90))
    radio.hidden = ("home",)
    assert live(Wifi(radio, FAILURES), [HOME, BARN], 0, 1)[1]
    assert radio.joins == ["barn", "home"]


def test_what_is_wrong_is_said():
    """A wrong password is not waited for, and stands in the reason with the network's name."""
    radio = Radio(home=("other", -60))
    wifi = Wifi(radio, FAILURES)
    assert not live(wifi, [HOME], 0, 0.2)[1]
    assert wifi.why == "Wi-Fi home: wrong password"
    radio.answers = False
    live(wifi, [HOME], 1000, 20)
    assert wifi.why == "Wi-Fi home: no answer in time"


def test_when_all_have_failed_there_is_a_growing_pause():
    """1, 2, 4 ... 60 s between rounds, and each round tries every network once."""
    radio = Radio()
    wifi = Wifi(radio, FAILURES)
    seen, rounds = 0, []
    for now in range(0, 300000, 50):
        wifi.tick([HOME, BARN], now)
        if len(radio.joins) >= seen + 2:
            seen = len(radio.joins)
            rounds.append(now)
    pauses = [after - before for before, after in zip(rounds, rounds[1:])]
    assert [round(pause / 1000) for pause in pauses[:7]] == [1, 2, 4, 8, 16, 32, 60]
    radio.air = {"barn": ("hay", -50)}
    assert live(wifi, [HOME, BARN], 300000, 61)[1]


def test_a_network_that_goes_away_is_joined_again_at_once():
    """A pause belongs to networks that refuse us, not to one that had us."""
    radio = Radio(home=("word", -60))
    wifi = Wifi(radio, FAILURES)
    now, _ = live(wifi, HOME, 0, 1)
    radio.state = IDLE
    assert live(wifi, HOME, now, 1)[1]
    assert radio.joins == ["home", "home"]


def test_a_config_with_another_network_leaves_this_one():
    """What is joined may not be wanted any more; without any network it is left too."""
    radio = Radio(home=("word", -60), barn=("hay", -50))
    wifi = Wifi(radio, FAILURES)
    now, _ = live(wifi, HOME, 0, 1)
    now, joined = live(wifi, BARN, now, 1)
    assert joined
    assert radio.joins == ["home", "barn"]
    assert not live(wifi, None, now, 1)[1]
    assert wifi.why == "no Wi-Fi is known"


def test_a_fixed_address_is_set_before_joining_and_taken_back():
    """A network without one gets its address as usual, also behind one that had a fixed address."""
    fixed = dict(HOME, ip=["192.168.1.50", "255.255.255.0", "192.168.1.1", "192.168.1.1"])
    radio = Radio(home=("word", -60), barn=("hay", -50))
    wifi = Wifi(radio, FAILURES)
    now, _ = live(wifi, fixed, 0, 1)
    assert radio.address == tuple(fixed["ip"])
    live(wifi, BARN, now, 1)
    assert radio.address == "dhcp"


def test_a_radio_that_fails_is_asked_again():
    """A driver that raises costs this attempt and no more."""
    radio = Radio(home=("word", -60))

    def broken(*_):
        raise OSError(5)

    works, radio.connect = radio.connect, broken
    wifi = Wifi(radio, FAILURES)
    assert not live(wifi, HOME, 0, 20)[1]
    radio.connect = works
    assert live(wifi, HOME, 20000, 20)[1]
