"""Limits: instructions, stack, complexity, privileges."""

from buildgen.verifier.rejections.row import Row

_LESS = (
    "make the loop shorter, or move its body into bpf_loop() (5.17) or a global (non-static, __noinline) "
    "function, which is looked at once; split the program with bpf_tail_call()"
)

ROWS = (
    Row(
        r"BPF program is too large\. Processed (?P<insns>\d+) insn",
        "the verifier gave up after {insns} instructions: it follows every branch of every turn of a loop, "
        "and branches inside of a loop multiply{busiest}",
        _LESS,
        "for (int i = 0; i < 1000; i++) { if … else if … }",
        "bpf_loop(1000, step, &state, 0);",
    ),
    Row(
        r"The sequence of \d+ jumps is too complex",
        "there are more branches open at once than the verifier keeps (8192)",
        _LESS,
    ),
    Row(
        r"combined stack size of (?P<calls>\d+) calls is (?P<size>\d+)\. Too large",
        "functions that call each other share 512 bytes of stack; these {calls} need {size}{depths}",
        "move large variables into a per-CPU array map, or make them smaller; or use one buffer that the "
        "caller passes on",
        "char text[300];",
        "struct scratch *s = bpf_map_lookup_elem(&per_cpu, &zero);\nif (!s)\n\treturn 0;",
    ),
    Row(
        r"tail_calls are not allowed when call stack of previous frames is (?P<size>\d+) bytes",
        "a function with a tail call may be called only when less than 256 bytes of stack are in use, and "
        "here {size} are",
        "move large variables of the callers into a per-CPU array map",
    ),
)

BROAD = (
    Row(
        r"allocated_stack too small|stack depth \d+ exceeds|exceeds stack|stack size",
        "the stack of 512 bytes is over",
        "move large variables into a per-CPU array map",
    ),
    Row(
        r"too many (?:subprogs|different)|too many \w+|total number of maps|iteration limit reached|"
        r"max struct nesting|more than \d+ ",
        "the program has more of something (functions, maps, kernel functions) than the kernel takes",
        "split the object into several programs",
    ),
    Row(
        r"cannot be patched due to 16-bit range|jump offset|too far|insn \d+ .* 16-bit range",
        "a jump in the program is too long after the kernel has rewritten it",
        "make the function smaller, or compile with -mcpu=v4 (6.6)",
    ),
    Row(
        r"is allowed only to CAP_PERFMON|prohibited for !root|for !root|CAP_(?:PERFMON|SYS_ADMIN|BPF)",
        "this is allowed only with CAP_PERFMON",
        "load it with CAP_BPF and CAP_PERFMON (sudo)",
    ),
    Row(
        r"tail_calls? (?:are|is) not allowed|JIT doesn't support bpf-to-bpf|non-JITed programs|"
        r"adding tail call poke|tracking tail call",
        "without the JIT, or on this machine, functions, callbacks and tail calls do not go together",
        "switch the JIT on: sysctl net.core.bpf_jit_enable=1; or inline the functions",
    ),
    Row(
        r"private stack|live stack|stack liveness",
        "the stack of this program cannot be laid out",
        "make the variables on the stack smaller",
    ),
)
"""Patterns that are tried after those of all themes."""
