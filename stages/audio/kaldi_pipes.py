"""Commands in wav.scp that only unpack a recording, as the file, channel, stretch and rate that they give.

Understood are sph2pipe, sox, ffmpeg, flac and cat, also one after the other. No command is ever executed: what is not
understood, or changes the sound, is named. SoX 14.4.2, FFmpeg 7, sph2pipe 2.5 and flac 1.4 say what the options mean.
"""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from reseed.stages.audio.kaldi_options import Options, Reader, rate_of, samples_of, seconds_of

_HEADED = (
    *("wav", "wavpcm", "flac", "mp3", "mp2", "sph", "nist", "aiff", "aif", "aifc", "au", "snd", "ogg", "vorbis"),
    *("opus", "w64", "caf", "m4a", "mp4", "mov"),
)
_EFFECT_NUMBER = re.compile(r"[=-]?[\d.:]+[ts]?|=[\d.:]+")
_WIDE = re.compile(r"(pcm_(s16|s24|s32|f32|f64)[lb]e|flac|copy)")
_STDOUT = ("-", "pipe:", "pipe:1", "/dev/stdout")


@dataclass(frozen=True)
class Piped:
    """What a command gives: a stretch of a file.

    Attributes:
        channel: counted from 0; None: all, or their mean.
        is_mono: whether the command gives one channel, so that a later one can choose no other.
        end_s: in the file; None: its end.
        rate_hz: the lowest that the sound has had on its way; None: that of the file.
        in_samples: whether the stretch is counted in samples of the file, not in seconds.
    """

    path: str
    channel: int | None = None
    is_mono: bool = False
    start_s: float = 0.0
    end_s: float | None = None
    rate_hz: int | None = None
    in_samples: bool = False

    def cut(self, start_s: float, end_s: float | None, in_samples: bool = False) -> "Piped":
        """Return the stretch from `start_s` to `end_s` (None: the end) of it."""
        if not start_s and end_s is None:
            return self
        if in_samples and self.rate_hz:
            raise ValueError("counts samples of another rate than the file's")
        if in_samples != self.in_samples and (self.start_s or self.end_s is not None):
            raise ValueError("cuts in samples what is cut in seconds")
        ends = [end for end in (self.end_s, None if end_s is None else self.start_s + end_s) if end is not None]
        start_s += self.start_s
        return replace(self, start_s=start_s, end_s=min(ends, default=None), in_samples=in_samples)

    def channel_of(self, named: int | None) -> int | None:
        """Return which channel of the file is meant by one of what the command gives."""
        return self.of_channel(named).channel

    def of_channel(self, channel: int | None) -> "Piped":
        """Return one channel of it, or (None) the mean of all."""
        if self.is_mono and channel:
            raise ValueError(f"takes channel {channel} of one")
        return self if self.is_mono else replace(self, channel=channel, is_mono=True)

    def only_channel(self, channels: str) -> "Piped":
        """Return it as one channel, which is the number of them that an option asks for."""
        if channels != "1":
            raise ValueError(f"gives {channels} channels")
        return self.of_channel(None)

    def at(self, rate_hz: int) -> "Piped":
        """Return it at another rate."""
        return replace(self, rate_hz=min(rate_hz, self.rate_hz or rate_hz))


def read_pipe(command: str) -> Piped:
    """Return what a command of wav.scp gives.

    Args:
        command: as it stands in wav.scp, with the bar at its end.

    Raises:
        ValueError: it is not understood, or changes the sound; says what of it.
    """
    found: Piped | None = None
    for words in _commands(command.strip().removesuffix("|")):
        program = words[0].rpartition("/")[2]
        if program not in _PROGRAMS:
            raise ValueError(f"{program} is not understood")
        try:
            found = _PROGRAMS[program](words[1:], found)
        except ValueError as error:
            raise ValueError(f"{program} {error}") from None
    assert found is not None
    return found


def _commands(line: str) -> Iterator[list[str]]:
    """Yield the words of each command of a pipe."""
    line = re.sub(r"\s2>\s*/dev/null|<\s*/dev/null", " ", line)
    if found := re.search(r"\$\(?|`", line):
        raise ValueError(f"{found[0]} needs a shell")
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        for word in lexer:
            if word == "|" and words:
                yield words
                words = []
            elif word[0] in "|;&<>()":
                raise ValueError(f"{word} needs a shell")
            else:
                words.append(word)
    except ValueError as error:
        raise ValueError(str(error).lower()) from None
    if not words:
        raise ValueError("a command is missing beside |")
    yield words


def _input(path: str, before: Piped | None, stdin: tuple[str, ...] = ("-",)) -> Piped:
    if (path in stdin) != (before is not None):
        raise ValueError("reads from no file" if before is None else f"reads {path}, not what comes before it")
    return before or Piped(path)


def _sph2pipe(words: list[str], before: Piped | None) -> Piped:
    options = Options(words, Reader(flags="pd", valued="ftcs"))
    found = _input(options.only_operand(), before)
    for name, value in options.given:
        if name == "f" and value[:3].lower() not in ("wav", "rif", "sph", "aif", "mac") and value[:2].lower() != "au":
            raise ValueError(f"gives the format {value}")
        if name == "c":
            if value[:1] not in ("1", "2"):
                raise ValueError(f"has no channel {value}")
            found = found.of_channel(int(value[0]) - 1)
        if name in "ts":
            start, colon, end = value.partition(":")
            if not colon:
                raise ValueError(f"has the stretch {value}, which is not START:END")
            number = seconds_of if name == "t" else samples_of
            found = found.cut(number(start or "0"), number(end) if end else None, in_samples=name == "s")
    return found


def _flac(words: list[str], before: Piped | None) -> Piped:
    long = ("decode", "stdout", "silent", "totally-silent", "decode-through-errors", "warnings-as-errors")
    options = Options(words, Reader(flags="cdsFw", long_flags=long))
    names = {name for name, _ in options.given}
    if not (names & {"d", "decode"} and names & {"c", "stdout"}):
        raise ValueError("without -d and -c gives no recording")
    return _input(options.only_operand(), before)


def _cat(words: list[str], before: Piped | None) -> Piped:
    return _input(Options(words, Reader()).only_operand(), before)


def _gunzip(words: list[str], before: Piped | None) -> Piped:
    raise ValueError("unpacks a recording, which is not done in place")


_SOX = Reader(
    flags="qSDRG",
    valued="trcbe",
    long_flags=("no-show-progress", "show-progress", "no-dither", "guard", "multi-threaded", "ignore-length"),
    long_valued=("type", "rate", "channels", "bits", "encoding", "endian", "buffer"),
    others=r"-V\d?|-[LB]",
)
_SHORT = {"type": "t", "rate": "r", "channels": "c", "bits": "b", "encoding": "e"}


def _sox(words: list[str], before: Piped | None) -> Piped:
    source = Options(words, _SOX, until_operand=True)
    output = Options(source.rest, _SOX, until_operand=True)
    found = _input(source.only_operand(), before)
    if output.only_operand() not in ("-", "/dev/stdout"):
        raise ValueError(f"has a second file, {output.only_operand()}")
    for name, value in source.given:
        name = _SHORT.get(name, name)
        if name == "t" and value not in _HEADED:
            raise ValueError(f"reads {value}, which has no header")
        if name in ("r", "c", "b", "e"):
            raise ValueError(f"reads the file otherwise than its header says (-{name} {value})")
    found = _sox_effects(found, output.rest)
    for name, value in output.given:  # SoX's own effects, after those that are named
        found = _sox_output(found, _SHORT.get(name, name), value)
    return found


def _sox_output(found: Piped, name: str, value: str) -> Piped:
    if name == "t" and value not in ("wav", "wavpcm", "flac", "aiff", "au", "w64", "sph", "sox"):
        raise ValueError(f"gives the format {value}")
    if name == "b" and value not in ("16", "24", "32", "64"):
        raise ValueError(f"gives {value} bits, which changes the sound")
    if name == "e" and not "signed-integer".startswith(value) and not "floating-point".startswith(value):
        raise ValueError(f"gives the encoding {value}, which changes the sound")
    if name == "c":
        return found.only_channel(value)
    return found.at(rate_of(value)) if name == "r" else found


def _sox_effects(found: Piped, words: list[str]) -> Piped:
    words = list(words)
    while words:
        effect, values = words.pop(0), []
        while words and (_EFFECT_NUMBER.fullmatch(words[0]) or words[0].startswith("-") or words[0][:1].isdigit()):
            values.append(words.pop(0))
        numbers = [value for value in values if not re.fullmatch(r"-[a-zA-Z]", value)]
        if effect == "rate" and len(numbers) == 1:
            found = found.at(rate_of(numbers[0]))
        elif effect == "channels" and values == ["1"]:
            found = found.of_channel(None)
        elif effect == "remix" and len(values) == 1 and (values[0] == "-" or re.fullmatch(r"[1-9]\d?", values[0])):
            found = found.of_channel(None if values[0] == "-" else int(values[0]) - 1)
        elif effect == "trim" and len(values) in (1, 2):
            in_samples = any(value.endswith("s") for value in values)
            number = partial(samples_of, suffix="s") if in_samples else seconds_of
            start, *rest = (number(value.removeprefix("=")) for value in values)
            end = rest[0] + start * (not values[1].startswith("=")) if rest else None
            found = found.cut(start, end, in_samples)
        elif effect != "dither":
            raise ValueError(f"has the effect {' '.join([effect, *values])}, which changes the sound")
    return found


_FFMPEG_CODECS = ("acodec", "codec:a", "c:a", "codec", "c")
_FFMPEG = Reader(
    words=("y", "n", "nostdin", "hide_banner", "nostats", "stats", "vn", "sn", "dn", "bitexact"),
    valued_words=(
        *("i", "f", "v", "loglevel", "threads", "ss", "t", "to", "ar", "ac", "ab", "b:a", "map", "map_channel"),
        *("af", "filter:a", "map_metadata", "sample_fmt", *_FFMPEG_CODECS),
    ),
)


def _ffmpeg(words: list[str], before: Piped | None) -> Piped:
    options = Options(words, _FFMPEG)
    if options.only_operand() not in _STDOUT:
        raise ValueError(f"writes {options.only_operand()}")
    names = [name for name, _ in options.given]
    if names.count("i") != 1:
        raise ValueError("reads other than one file")
    at = names.index("i")
    found = _input(options.given[at][1], before, ("-", "pipe:", "pipe:0", "/dev/stdin"))
    source, output = dict(options.given[:at]), options.given[at + 1 :]
    if wrong := source.keys() & {"ar", "ac", "sample_fmt", *_FFMPEG_CODECS}:
        raise ValueError(f"reads the file otherwise than its header says (-{min(wrong)})")
    if source.get("f", "wav") not in _HEADED:
        raise ValueError(f"reads {source['f']}, which has no header")
    found = _ffmpeg_stretch(found, source)
    for name, value in output:
        found = _ffmpeg_output(found, name, value)
    return _ffmpeg_stretch(found, dict(output))


def _ffmpeg_stretch(found: Piped, options: dict[str, str]) -> Piped:
    start_s = seconds_of(options.get("ss", "0"))
    if "t" in options:  # comes before -to
        return found.cut(start_s, start_s + seconds_of(options["t"]))
    return found.cut(start_s, seconds_of(options["to"]) if "to" in options else None)


def _ffmpeg_output(found: Piped, name: str, value: str) -> Piped:
    if name == "f" and value not in ("wav", "flac", "aiff", "au", "w64"):
        raise ValueError(f"gives the format {value}")
    if name in _FFMPEG_CODECS and not _WIDE.fullmatch(value):
        raise ValueError(f"gives the codec {value}, which changes the sound")
    if name == "sample_fmt" and value.rstrip("p") not in ("s16", "s32", "flt", "dbl"):
        raise ValueError(f"gives {value}, which changes the sound")
    if name == "map" and not re.fullmatch(r"0:a(:0)?\??|0:0|0", value):
        raise ValueError(f"takes the stream {value}")
    if name == "map_channel":
        channel = re.fullmatch(r"0\.0\.(\d+)", value)
        if channel is None:
            raise ValueError(f"has the channels {value}")
        return found.of_channel(int(channel[1]))
    if name in ("af", "filter:a"):
        return _ffmpeg_filter(found, value)
    if name == "ac":
        return found.only_channel(value)
    return found.at(rate_of(value)) if name == "ar" else found


def _ffmpeg_filter(found: Piped, value: str) -> Piped:
    if channel := re.fullmatch(r"pan=(?:mono|1c)\|(?:c0|FC)=(?:1\*)?c(\d+)", value):
        return found.of_channel(int(channel[1]))
    if side := re.fullmatch(r"pan=(?:mono|1c)\|(?:c0|FC)=(F[LR])", value):
        return found.of_channel(int(side[1] == "FR"))
    if rate := re.fullmatch(r"aresample=(\d+)(?::resampler=\w+)?", value):
        return found.at(int(rate[1]))
    raise ValueError(f"has the filter {value}, which changes the sound")


_PROGRAMS: dict[str, Callable[[list[str], Piped | None], Piped]] = {
    "sph2pipe": _sph2pipe,
    "sox": _sox,
    "flac": _flac,
    "ffmpeg": _ffmpeg,
    "cat": _cat,
    "zcat": _gunzip,
    "gunzip": _gunzip,
    "gzip": _gunzip,
}
