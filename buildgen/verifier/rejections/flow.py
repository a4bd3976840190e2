"""Control flow: loops, jumps, code that is never reached."""

from buildgen.verifier.rejections.row import Row

ROWS = (
    Row(
        r"infinite loop detected",
        "this loop comes round with the same state: nothing that the verifier can see makes it end",
        "give the loop a limit that does not depend on memory: for (int i = 0; i < MAX; i++), with break; "
        "or use bpf_loop()",
        "while (skb->mark != 7)\n\tn++;",
        "for (int i = 0; i < 100 && skb->mark != 7; i++)\n\tn++;",
    ),
    Row(
        r"back-edge from insn",
        "the program has a loop that does not end by itself, or this kernel (before 5.3, or without "
        "CAP_BPF) takes no loops at all",
        "give the loop a constant limit, unroll it (#pragma unroll), or use bpf_loop() (5.17)",
    ),
    Row(
        r"unreachable insn",
        "there are instructions that nothing jumps to: inline assembly, or code behind an endless loop",
        "remove that code, or make the loop before it end",
    ),
    Row(
        r"jump out of range|jump into the middle|invalid insn idx|last insn is not an exit or jmp|"
        r"fall(?:s)? through|"
        r"subprog(?:ram)? (?:does not|doesn't) (?:end|exit)|jump to reserved|indirect jump|gotox|jump table",
        "the program runs out of its end or jumps outside: a function ends without return (after "
        "__builtin_unreachable() or a function that is not there), or inline assembly is wrong",
        "let every function end with return",
    ),
    Row(
        r"div by zero|invalid shift",
        "a constant division by 0, or a shift by more bits than the value has",
        "correct the constant",
    ),
    Row(
        r"recursive call|the call stack of (?:\d+ )?frames is too deep|recursion",
        "functions call each other more than 8 deep, or a function calls itself",
        "inline functions (__always_inline), or turn the recursion into a loop",
    ),
)

BROAD = (
    Row(
        r"exception|bpf_throw|may_goto|may goto",
        "bpf_throw() or an exception callback is used where the kernel cannot unwind the program",
        "use one exception callback per program, and release what is held before bpf_throw()",
    ),
)
"""Patterns that are tried after those of all themes."""
