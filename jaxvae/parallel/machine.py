"""What the system says of the processor. Knows nothing else."""

import pathlib
import platform


def cpu_facts(name: str) -> list[str]:
    """Return what the system says under a name, such as "model name", of each core; nothing where it does not."""
    facts = pathlib.Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name]


def processor() -> str:
    """Return the name of the CPU, where the system tells it."""
    names = cpu_facts("model name")
    return f"{len(names)} x {names[0]}" if names else f"CPU {platform.processor() or platform.machine()}"
