"""One file per output format; `FORMATS` in `registry.py` lists them."""
