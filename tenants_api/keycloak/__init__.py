"""What a realm answers: guarded HTTP, and the few documents that are read from it. Knows no database."""
