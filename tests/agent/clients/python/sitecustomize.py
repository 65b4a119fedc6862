# >>>
# sitecustomize.py, in a folder of its own that PYTHONPATH names: Python runs it before the bot
from functools import partialmethod

import aiohttp

aiohttp.ClientSession.__init__ = partialmethod(aiohttp.ClientSession.__init__, trust_env=True)
# <<<
