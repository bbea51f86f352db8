"""Groups of real consumers, and what must hold of them whatever happens.

Consumers run in programs of their own, so that they can be killed. A program runs any number of them and is told, line
by line, to `start NAME GROUP TOPIC MODE` or to `stop NAME`. MODE is `eager`, `cooperative` or `consumer` (KIP-848). It
says, line by line,

    NAME MICROSECONDS assigned PARTITION...        what it has been given beside what it had
    NAME MICROSECONDS revoked PARTITION...         what it no longer has
    NAME MICROSECONDS processed PARTITION FIRST LAST
    NAME MICROSECONDS committed PARTITION NEXT     once the broker has acknowledged that
    NAME MICROSECONDS stopped
    NAME MICROSECONDS trouble TEXT                 what it goes on after

A consumer says that it has processed records before it commits them; it commits a few times a second, and before it
gives a partition up, where its client can do that.
"""
