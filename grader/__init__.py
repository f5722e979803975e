"""Grades any `server.py` and `client.py` that follow the assignment's command lines.

The pair is a black box: it is run as processes, typed to, and read, byte for byte. Nothing is known
of its wire format, and nothing of the chat room beside this package is imported. From the bottom:

    kernel.py      what /proc tells: is anybody of a tree of processes about to do something?
    tcp.py         the sockets on a port, and what waits in them
    streams.py     what a program printed so far, and how much of it may be kept
    processes.py   a session: programs started, typed to, waited for, and ended without a rest
    network.py     a proxy between a client and its server that cuts lines or joins them
    patterns.py    what a line must look like: literal text, the time, names in any order
    language.py    the sentences of which cases are made
    times.py       how a time may be written
    rubric.py      cases and points from a JSON file; rubric_check.py names its mistakes
    schema.py      as much of JSON Schema as rubrics need
    archives.py    zips from strangers, within bounds
    solution.py    where a solution's two files are, and a private copy of them
    words.py       what was expected and what was seen, in words
    advice.py      what a student learns from a failure
    instead.py     what a program does that does not listen
    play.py        one case against one solution
    surroundings.py  whether this machine can run any solution
    run.py         all cases, several at once, each in a process of its own
    report.py      the terminal's table; gradescope.py and junit.py for machines
    packages.py    what is imported and will not be there
    grading.py     one submission, from where it lies to its points
    exports.py     what Gradescope and Canvas export; dates.py when it came
    submissions.py the submissions of a class
    pages.py       pages for a browser
    gradebook.py   the results of a class, and the files in which they are kept
    classroom.py   a class, several at once
    preflight.py   what is looked at before the first solution
    command.py     the command line
"""
