"""The PostgreSQL ledger's tables: forward-only migrations, each a tuple of statements, never edited once released.

Texts are in the order of their code points, as SQLite has them, whatever the database's own order is. An index holds the
first 500 characters of a text only: PostgreSQL bounds the size of an index's row.
"""

__all__ = ["LONGEST", "MIGRATIONS", "SCHEMA_VERSION"]

LONGEST = 500
"""Characters of a text that its index holds; four bytes each leave room for the rest of the row."""

_FIRST = (
    """CREATE TABLE entries (
        no BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind TEXT COLLATE "C" NOT NULL, id TEXT COLLATE "C" NOT NULL,
        project TEXT COLLATE "C" NOT NULL, name TEXT COLLATE "C" NOT NULL, number BIGINT NOT NULL,
        state TEXT COLLATE "C" NOT NULL, parent TEXT COLLATE "C" NOT NULL, created_us BIGINT NOT NULL,
        etag BIGINT NOT NULL, body BYTEA NOT NULL, UNIQUE (kind, id))""",
    "CREATE INDEX entries_by_time ON entries (kind, project, created_us, id)",
    "CREATE INDEX entries_by_name ON entries (kind, project, name, created_us, id)",
    "CREATE INDEX entries_by_parent ON entries (kind, parent, created_us, id) WHERE parent <> ''",
    """CREATE TABLE refs (
        project TEXT COLLATE "C" NOT NULL, kind TEXT COLLATE "C" NOT NULL, name TEXT COLLATE "C" NOT NULL,
        target TEXT COLLATE "C" NOT NULL, PRIMARY KEY (project, kind, name))""",
    """CREATE TABLE links (
        source TEXT COLLATE "C" NOT NULL, target TEXT COLLATE "C" NOT NULL, role TEXT COLLATE "C" NOT NULL,
        PRIMARY KEY (source, target, role))""",
    "CREATE INDEX links_by_target ON links (target, source, role)",
    """CREATE TABLE events (
        seq BIGINT PRIMARY KEY, project TEXT COLLATE "C" NOT NULL, subject TEXT COLLATE "C" NOT NULL,
        verb TEXT COLLATE "C" NOT NULL, body BYTEA NOT NULL)""",
    "CREATE INDEX events_by_subject ON events (subject, seq)",
    'CREATE TABLE roots ("index" BIGINT PRIMARY KEY, body BYTEA NOT NULL)',
    """CREATE TABLE leases (
        name TEXT COLLATE "C" PRIMARY KEY, holder TEXT COLLATE "C" NOT NULL, until DOUBLE PRECISION NOT NULL)""",
    """CREATE TABLE fields (
        key BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, project TEXT COLLATE "C" NOT NULL,
        kind TEXT COLLATE "C" NOT NULL, space TEXT COLLATE "C" NOT NULL, name TEXT COLLATE "C" NOT NULL,
        UNIQUE (project, kind, space, name))""",
    """CREATE TABLE facets (
        no BIGINT NOT NULL, key BIGINT NOT NULL, item INTEGER NOT NULL, number DOUBLE PRECISION,
        text TEXT COLLATE "C", created_us BIGINT NOT NULL, PRIMARY KEY (no, key, item))""",
    f"CREATE INDEX facets_by_value ON facets (key, number, left(text, {LONGEST}), created_us, no)",
    """CREATE TABLE series (
        no BIGINT NOT NULL, key BIGINT NOT NULL, step BIGINT NOT NULL, at_us BIGINT NOT NULL, number DOUBLE PRECISION,
        created_us BIGINT NOT NULL, PRIMARY KEY (no, key))""",
    "CREATE INDEX series_by_value ON series (key, number, created_us, no)",
    """CREATE TABLE blocks (
        no BIGINT NOT NULL, key BIGINT NOT NULL, level INTEGER NOT NULL, seq INTEGER NOT NULL, points INTEGER NOT NULL,
        first_step BIGINT NOT NULL, first_at BIGINT NOT NULL, first_value DOUBLE PRECISION, last_step BIGINT NOT NULL,
        last_at BIGINT NOT NULL, last_value DOUBLE PRECISION, low DOUBLE PRECISION, high DOUBLE PRECISION,
        PRIMARY KEY (no, key, level, seq))""",
    """CREATE TABLE bodies (
        no BIGINT NOT NULL, key BIGINT NOT NULL, level INTEGER NOT NULL, seq INTEGER NOT NULL, body BYTEA NOT NULL,
        PRIMARY KEY (no, key, level, seq))""",
    # They are compressed already.
    "ALTER TABLE bodies ALTER COLUMN body SET STORAGE EXTERNAL",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST,)
SCHEMA_VERSION = len(MIGRATIONS)
