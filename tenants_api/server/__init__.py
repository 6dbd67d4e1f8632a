"""How uvicorn serves: options and limits that are not its defaults. Knows no application."""
