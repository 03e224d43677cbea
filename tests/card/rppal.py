"""Visitors shown to the job alone, which drives the relay's pin through rppal and the registers: see visits.py.

usage: rppal.py IMAGE WORK, WORK being that of visitors.prepare
"""

import visits

if __name__ == "__main__":
    visits.main(rppal=True)
