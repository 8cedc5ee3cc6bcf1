"""What people and machines see of a running daemon: its log, page, metrics, sums, hooks, `top`.

Pure rooms (journal, metrics, history, top's text) turn events and snapshots into bytes or lines;
`observer` is what a daemon owns: it asks for a snapshot when somebody looks, and not before.
"""
