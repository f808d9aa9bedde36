"""The loop: observe, plan, check, commit; and the one way in which anything recorded is changed.

Never decides: what may change is the law's (`core.lifecycle`), what should change is planning's (`core.planning`).
Start reading at `loop`.
"""
