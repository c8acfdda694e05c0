"""What asks for a right and is no operation: it needs the project's code, or the store's folder itself."""

__all__ = ["ACTS"]

ACTS: dict[str, tuple[str, ...]] = {
    "audit.export": ("audit.read",),
    "backups.make": ("backups.make",),
    "ci.run": ("runs.write",),
    "contracts.draft": ("endpoints.declare",),
    "doctor.security": ("security.look",),
    "endpoints.break_glass": ("gates.break",),
    "endpoints.declare": ("endpoints.declare",),
    "endpoints.listen": ("endpoints.deploy",),
    "environments.clean": ("environments.write",),
    "environments.create": ("environments.write",),
    "environments.destroy": ("environments.write",),
    "environments.keep": ("environments.write",),
    "environments.restore": ("environments.write",),
    "files.commit": ("tables.write",),
    "keys.trust": ("keys.trust",),
    "migrations.compare": ("migrations.write",),
    "limits.declare": ("trash.purge",),
    "models.export": ("endpoints.deploy",),
    "models.register": ("models.write",),
    "promotions.start": ("endpoints.deploy",),
    "raci.declare": ("runs.write", "endpoints.deploy"),
    "rates.declare": ("runs.write", "endpoints.deploy"),
    "runs.import": ("runs.write",),
    "runs.start": ("runs.write",),
    "sharing.publish": ("sharing.write",),
    "simulations.run": ("runs.write",),
    "support.bundle": ("settings.read",),
    "tables.schedule": ("schedules.write",),
}
"""By name, as events and refusals call it: the rights of which it needs one."""
