"""The risk officer's page: scored output in a browser, read-only, with a log of who opened what."""
