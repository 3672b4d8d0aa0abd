"""Magics: `%optimize 5`, `%runs`, `%show UID`, `%live`, `%page`; Bluesky's `%mov`, `%wa`, `%ct`."""

import sys

_shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None

if _shell is not None and not is_re_worker_active():
    from bluesky.magics import BlueskyMagics
    from IPython.core.error import UsageError

    from stedopt_bluesky.cli.listing import MOST_ROWS as _MOST_ROWS
    from stedopt_bluesky.cli.output import stdout as _stdout
    from stedopt_bluesky.cli.showing import show_run
    from stedopt_bluesky.records import RunQuery, list_runs
    from stedopt_bluesky.reports.live import LiveView as _LiveView
    from stedopt_bluesky.reports.tables import runs_table
    from stedopt_bluesky.web.page.desk import Desk as _Desk
    from stedopt_bluesky.web.page.server import PageServer as _PageServer

    def _optimize(line):
        """%optimize [IMAGES]: a run with a fresh strategy."""
        images = line.strip() or str(config.images)
        if not images.isdecimal():
            raise UsageError(f"%optimize {images}: how many images, a whole number")
        RE(optimize(images=int(images)))

    def _runs(line):
        """%runs [SAMPLE]: the newest fifty runs of the catalogue."""
        found = list_runs(folder, RunQuery(sample=line.strip() or None), newest=_MOST_ROWS)
        _stdout.print(runs_table(found) if found else "no run matches")

    def _show(line):
        """%show UID: one run, its best and last images."""
        try:
            show_run(line.strip(), catalog=folder.path, figure=None, as_json=False)
        except ValueError as error:  # not there, damaged, none of this program's
            raise UsageError(f"%show {line.strip()}: {error}") from None

    _watching = []

    def _live(line):
        """%live, %live off: show each run of this session as it goes, in place of progress bars."""
        if line.strip() not in ("", "off"):
            raise UsageError(f"%live {line.strip()}: %live or %live off")
        while _watching:
            _token, RE.waiting_hook, _ = _watching.pop()
            RE.unsubscribe(_token)
        if not line.strip():
            view = _LiveView()
            _watching.append((RE.subscribe(view), RE.waiting_hook, view))
            RE.waiting_hook = None

    @contextlib.contextmanager
    def _not_drawn_over():
        """While you are asked, what is shown of the run stays above; it goes on below."""
        for _, _, view in _watching:
            view.finish()
        yield

    asking.hide = _not_drawn_over
    _pages = _closing.enter_context(contextlib.ExitStack())

    def _page(line):
        """%page on, %page off: choose in a browser in place of here, by the link that is shown."""
        if line.strip() not in ("on", "off"):
            raise UsageError(f"%page {line.strip()}: %page on or %page off")
        _pages.close()
        asking.silent = line.strip() == "on"
        if not asking.silent:
            return
        desk = _Desk(expert, station.rating.objectives, asking.name or "expert", config.seed)
        try:
            _pages.enter_context(_PageServer(desk, _tell, config.expert.port))
        except OSError as error:
            asking.silent = False
            raise UsageError(f"expert.port = {config.expert.port}: {error.strerror}") from None

    def _tell(link):
        print(f"the page, by a link that works once: {link}")

    _magics = {
        "optimize": _optimize,
        "runs": _runs,
        "show": _show,
        "live": _live,
        "page": _page,
    }
    for _name, _magic in _magics.items():
        _shell.register_magic_function(_magic, "line", _name)
    _shell.register_magics(BlueskyMagics)
