"""Visitors shown to the job alone, which drives the relay's pin through rppal and the registers. See visits.py.

usage: rppal.py IMAGE WORK, where WORK is the folder that visitors.prepare filled
"""

import visits

if __name__ == "__main__":
    visits.main(rppal=True)
