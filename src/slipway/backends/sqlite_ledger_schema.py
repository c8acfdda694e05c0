"""The SQLite ledger's tables: forward-only migrations, each a tuple of statements, never edited once released."""

__all__ = ["MIGRATIONS", "SCHEMA_VERSION"]

_FIRST = (
    """CREATE TABLE entries (
        kind TEXT NOT NULL, id TEXT NOT NULL, project TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL,
        state TEXT NOT NULL, parent TEXT NOT NULL, created_us INTEGER NOT NULL, etag INTEGER NOT NULL,
        body BLOB NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID""",
    "CREATE INDEX entries_by_time ON entries (kind, project, created_us, id)",
    "CREATE INDEX entries_by_name ON entries (kind, project, name, created_us, id)",
    "CREATE INDEX entries_by_parent ON entries (kind, parent, created_us, id) WHERE parent <> ''",
    """CREATE TABLE refs (
        project TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, target TEXT NOT NULL,
        PRIMARY KEY (project, kind, name)) WITHOUT ROWID""",
    """CREATE TABLE links (
        source TEXT NOT NULL, target TEXT NOT NULL, role TEXT NOT NULL,
        PRIMARY KEY (source, target, role)) WITHOUT ROWID""",
    "CREATE INDEX links_by_target ON links (target, source, role)",
    """CREATE TABLE points (
        run_id TEXT NOT NULL, key TEXT NOT NULL, step INTEGER NOT NULL, at_us INTEGER NOT NULL,
        special INTEGER NOT NULL, value REAL NOT NULL,
        PRIMARY KEY (run_id, key, step, at_us, special, value)) WITHOUT ROWID""",
    """CREATE TABLE events (
        seq INTEGER PRIMARY KEY, project TEXT NOT NULL, subject TEXT NOT NULL, verb TEXT NOT NULL,
        body BLOB NOT NULL)""",
    "CREATE INDEX events_by_subject ON events (subject, seq)",
    'CREATE TABLE roots ("index" INTEGER PRIMARY KEY, body BLOB NOT NULL)',
    "CREATE TABLE leases (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST,)
SCHEMA_VERSION = len(MIGRATIONS)
