"""The will: what to do next, proposed as intents and waits. Pure; changes nothing and never touches an attachment.

One planner a module looks at one volume; `planner` puts them together, `admission` holds them under shared budgets,
`orders` says what each node must run. Planning knows events and derived state, but not the law that judges them.
"""
