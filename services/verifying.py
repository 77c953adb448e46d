"""What `sparks receipt verify` and `sparks statement verify` show of a file that somebody kept."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from services import contract_sets
from services.receipts import keyring
from services.receipts import verification as receipts
from services.receipts.checks import NoReceipt, Untrue
from services.receipts.keyring import Keyring
from services.statements import verification as statements


def show_receipt(
    file: Path, keys: Path | None, contracts: Path | None, contract_version: str, *, as_json: bool
) -> bool:
    """Verify a receipt, print what holds in sentences, and return whether all does. Raises NoReceipt, OSError.

    contracts  files of a contract set to execute besides this program's own, if their hash is `contract_version`
    """
    offered = contracts.read_bytes() if contracts else None
    if offered is not None and contract_sets.version_of(offered).hex() != contract_version.lower():
        raise NoReceipt(f"{contracts}: not contract set {contract_version or '(say which: --contract-version)'}")

    def report(given: Any, trusted: Keyring | None) -> dict[str, Any]:
        verified = receipts.verify(given, trusted, offered)
        return {
            "index": verified.index,
            "recomputed": verified.is_recomputed,
            "micro_sparks": verified.micro_sparks,
            "sentences": list(verified.sentences),
        }

    return _show_verified(file, keys, report, as_json)


def show_statement(file: Path, keys: Path | None, *, as_json: bool) -> bool:
    """Verify a statement, or a proof that somebody is counted in one, as `show_receipt` does a receipt."""
    return _show_verified(file, keys, lambda given, trusted: asdict(statements.verify(given, trusted)), as_json)


def _show_verified(
    file: Path, keys: Path | None, verify_given: Callable[[Any, Keyring | None], dict[str, Any]], as_json: bool
) -> bool:
    """Print the sentences that a verification reports, or the first thing that does not hold."""
    trusted = keyring.parse(_read(keys)) if keys else None
    if keys and trusted is None:
        raise NoReceipt(f"{keys}: not in the form of /log/keys")
    try:
        given = json.loads(_read(file))
    except (ValueError, RecursionError):
        raise NoReceipt(f"{file}: not JSON") from None
    try:
        report = {"verified": True, **verify_given(given, trusted)}
    except NoReceipt as error:
        raise NoReceipt(f"{file}: {error}") from None
    except Untrue as error:
        typer.echo(f"DOES NOT HOLD: {error}", err=True)
        report = {"verified": False, "wrong": str(error)}
    for sentence in report.get("sentences", ()):
        typer.echo(sentence, err=True)
    if as_json:
        typer.echo(json.dumps(report))
    return bool(report["verified"])


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise NoReceipt(f"{file}: not UTF-8 text") from None
