"""One module for each verb of the command line: read, call the library, write."""
