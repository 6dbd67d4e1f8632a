"""The admin plane: who may register, suspend and remove realms, and how."""
