"""What is at each address of a run in the browser: pages, sounds and pictures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from reseed.stages.auditing.browsing.spectrogram import spectrogram
from reseed.stages.auditing.browsing.stores import BrowsedStore, RunStores, Sound
from reseed.stages.auditing.browsing.trials import ERRORS
from reseed.stages.common.pages import render
from reseed.stages.common.terminal import log
from reseed.store import ReseedError

_DIGITS = 9  # of the number of a crop or a page


@dataclass(frozen=True)
class Request:
    """What is asked of the stores: the part of an address behind its question mark."""

    stores: RunStores
    query: Mapping[str, str]

    def given(self, name: str) -> str:
        """Return a value that must be there."""
        if name not in self.query:
            raise _NotFoundError(f"the address leaves out {name}")
        return self.query[name]

    @property
    def store(self) -> BrowsedStore:
        return self.stores.open(self.given("store"))

    @property
    def sound(self) -> Sound:
        return self.stores.sound(self.store, self.given("id"), self.given("view"), self.number("crop"))

    def number(self, name: str) -> int:
        """Return a number, 0 where none is given."""
        number = self.query.get(name, "0")
        if not number.isdecimal() or len(number) > _DIGITS:
            raise _NotFoundError(f"{name} {number!r} is not a number")
        return int(number)


@dataclass(frozen=True)
class Response:
    """What is answered, its media type, and what tells it from others where it may be asked for in parts."""

    kind: str
    body: bytes
    digest: str = ""


def answer(stores: RunStores, path: str) -> tuple[HTTPStatus, Response]:
    """Return what is at an address, or a page that says why it cannot be shown."""
    try:
        address = urlsplit(path)
        route = _ROUTES.get(address.path)
        if route is None:
            raise _NotFoundError(f"there is no page {address.path}")
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        return HTTPStatus.OK, route(Request(stores, query))
    except (_NotFoundError, ReseedError, OSError, ValueError) as error:  # Arrow's and unreadable addresses are the last
        return HTTPStatus.NOT_FOUND, _page("not_found", title="Not found", reason=str(error))
    except Exception as error:
        log(f"browse: unexpected {type(error).__name__}: {error}")
        reason = f"unexpected {type(error).__name__}: {error}"
        return HTTPStatus.INTERNAL_SERVER_ERROR, _page("not_found", title="Not shown", reason=reason)


class _NotFoundError(Exception):
    """A page that is not there, or an address that leaves something out."""


def _home(request: Request) -> Response:
    stores = []
    for name in request.stores.paths:
        try:
            stores.append((name, repr(request.stores.open(name).store).partition(": ")[2].rstrip(")"), ""))
        except (ReseedError, OSError, ValueError) as error:
            stores.append((name, "", str(error)))
    scored = bool(request.stores.score_paths)
    return _page("home", title=str(request.stores.run), stores=stores, scored=scored)


def _store(request: Request) -> Response:
    name, text = request.given("name"), request.query.get("q", "")
    browsed = request.stores.open(name)
    count, found = browsed.search(text)
    return _page("store", title=name, name=name, text=text, count=count, found=found, store=browsed.store)


def _utterance(request: Request) -> Response:
    store, name, utterance = request.store, request.given("store"), request.given("id")
    view, related = request.query.get("view", store.clean), request.stores.related(name)
    beside = request.query.get("beside", next(iter(related), ""))
    if view not in store.store.views or (beside and beside not in related):
        raise _NotFoundError(f"there is no view {view!r} of this store, or none like it is called {beside!r}")
    return _page(
        "utterance",
        title=utterance,
        name=name,
        speakers=store.speakers,
        speaker=store.speakers.get(utterance),
        rows=store.rows(utterance),
        views=store.store.views,
        view=view,
        related=related,
        beside=beside,
        neighbourhoods=[request.stores.neighbours(shown, utterance, view) for shown in (name, beside) if shown],
        scores=store.scores(utterance),
    )


def _trials(request: Request) -> Response:
    stores, query = request.stores, request.query
    paths = stores.score_paths
    if not paths:
        raise _NotFoundError("no scores lie in this run; make them with `reseed run` or `reseed score`")
    name = query.get("scores") or next(iter(paths))
    scores = stores.scores(name)
    chosen, error = scores.chosen(query), query.get("error", "")
    judged = scores.judged(chosen)
    return _page(
        "trials",
        title="Trials",
        files=list(paths),
        name=name,
        scores=scores,
        chosen=chosen,
        judged=judged,
        error=error,
        errors=ERRORS,
        page=judged.page(error, request.number("page")),
        stored=stores.holding(scores.origin.fingerprint),
    )


def _audio(request: Request) -> Response:
    sound = request.sound
    return Response("audio/wav", sound.wav, sound.digest)


def _spectrogram(request: Request) -> Response:
    return Response("image/png", spectrogram(request.sound.wav))


def _style(request: Request) -> Response:
    sheets = map(render, ("common/page.css", "auditing/browsing/browse.css"))
    return Response("text/css; charset=utf-8", "\n".join(sheets).encode())


_ROUTES: dict[str, Callable[[Request], Response]] = {
    "/": _home,
    "/store": _store,
    "/utterance": _utterance,
    "/trials": _trials,
    "/audio": _audio,
    "/spectrogram": _spectrogram,
    "/style.css": _style,
}


def _page(template: str, **values: object) -> Response:
    return Response("text/html; charset=utf-8", render(f"auditing/browsing/{template}.html.j2", **values).encode())
