"""techmart_fast: raw shop feeds into PostgreSQL and BigQuery, exactly, with the daily analytics.

Importing this package does nothing and is quick: names are loaded when they are first used.

    import asyncio, techmart_fast
    result = asyncio.run(techmart_fast.run())                        # async
    report = techmart_fast.ECommerceAnalyticsPipeline().run_pipeline()   # sync
"""

from importlib import import_module
from typing import TYPE_CHECKING

from techmart_fast import version

if TYPE_CHECKING:
    from techmart_fast.api import DataSources, plan, reconcile, replay, run, sync
    from techmart_fast.contract import Contract, default_contract, load_contract
    from techmart_fast.errors import ExitCode, TechmartError
    from techmart_fast.facade import ECommerceAnalyticsPipeline
    from techmart_fast.pipeline.corrections import Correction, read_corrections
    from techmart_fast.pipeline.prepare import Stages
    from techmart_fast.pipeline.progress import RunObserver
    from techmart_fast.pipeline.reconciled import Reconciliation
    from techmart_fast.pipeline.rehearsal import RunPlan
    from techmart_fast.pipeline.replayed import ReplayResult
    from techmart_fast.pipeline.synced import SyncResult
    from techmart_fast.postgres import QuarantineFilter
    from techmart_fast.results import RunResult, RunStatus
    from techmart_fast.settings import Settings, load_settings

__version__ = version.VERSION

__all__ = [
    "Contract",
    "Correction",
    "DataSources",
    "ECommerceAnalyticsPipeline",
    "ExitCode",
    "QuarantineFilter",
    "Reconciliation",
    "ReplayResult",
    "RunObserver",
    "RunPlan",
    "RunResult",
    "RunStatus",
    "Settings",
    "Stages",
    "SyncResult",
    "TechmartError",
    "__version__",
    "default_contract",
    "load_contract",
    "load_settings",
    "plan",
    "read_corrections",
    "reconcile",
    "replay",
    "run",
    "sync",
]

_HOME = {
    "Contract": "contract",
    "Correction": "pipeline.corrections",
    "DataSources": "api",
    "ECommerceAnalyticsPipeline": "facade",
    "ExitCode": "errors",
    "QuarantineFilter": "postgres",
    "Reconciliation": "pipeline.reconciled",
    "ReplayResult": "pipeline.replayed",
    "RunObserver": "pipeline.progress",
    "RunPlan": "pipeline.rehearsal",
    "RunResult": "results",
    "RunStatus": "results",
    "Settings": "settings",
    "Stages": "pipeline.prepare",
    "SyncResult": "pipeline.synced",
    "TechmartError": "errors",
    "default_contract": "contract",
    "load_contract": "contract",
    "load_settings": "settings",
    "plan": "api",
    "read_corrections": "pipeline.corrections",
    "reconcile": "api",
    "replay": "api",
    "run": "api",
    "sync": "api",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
