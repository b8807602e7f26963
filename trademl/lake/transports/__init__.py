"""The ways in which a device gets at a server's lake; each leaves the copying to a library or program made for it."""
