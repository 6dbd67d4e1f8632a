"""What is known of a database without a library or a driver: its URL, its roles, how it is opened, how it fails."""
