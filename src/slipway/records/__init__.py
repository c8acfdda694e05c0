"""What is stored and sent: frozen structs, one file a noun.

Records know nothing of stores, frames or servers. A record's shape is shared property: a new field needs a default, so
that what an older release wrote still decodes; a changed meaning needs a migration.
"""
