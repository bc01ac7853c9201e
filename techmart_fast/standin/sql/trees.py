"""Copies of trees."""

from typing import TypeVar

from sqlglot import exp

Tree = TypeVar("Tree", bound=exp.Expr)


def copied(tree: Tree) -> Tree:
    """A copy of a tree that shares the types of its nodes with it.

    sqlglot's own copies the type of each node, too, which is a tree itself, and takes six times as
    long. Types are put in place of others, and never changed.
    """
    root = type(tree)()
    stack: list[tuple[exp.Expr, exp.Expr]] = [(tree, root)]
    while stack:
        node, copy = stack.pop()
        # Not by the property: the type of a cast is said by its other part, which is copied.
        copy._type = node._type
        if node._meta:
            copy._meta = dict(node._meta)
        if node.comments:
            copy.comments = list(node.comments)
        for key, value in node.args.items():
            if isinstance(value, exp.Expr):
                stack.append((value, type(value)()))
                copy.set(key, stack[-1][1])
            elif isinstance(value, list):
                copy.args[key] = []
                for one in value:
                    if isinstance(one, exp.Expr):
                        stack.append((one, type(one)()))
                        copy.append(key, stack[-1][1])
                    else:
                        copy.append(key, one)
            else:
                copy.args[key] = value
    return root
