"""Damage that is recognised and named: spool files, full disks, changed sources, odd clocks."""
