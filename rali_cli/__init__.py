"""The command line of rali: parse, call the library, render what comes back."""
