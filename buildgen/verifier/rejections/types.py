"""Types: BTF, attach targets, what a program type expects, return values."""

from buildgen.verifier.rejections.row import Row

ROWS = (
    Row(
        r"At program exit the register R0 (?:is not a known value|has (?:value|unknown|smin|smax)?)",
        "the program can return {r0}; programs of type {program_type} may return {range_words} only",
        "return one of the values that this type has, as a constant, on every path",
        "return skb->len > 1500 ? -1 : 1;",
        "return skb->len > 1500 ? 0 : 1;",
    ),
    Row(
        r"the register R\d+ (?:has|is not)|R0 has (?:unknown|smin|value)",
        "the program or callback can return {r0}; here only {range_words} is allowed",
        "return a constant in that range on every path",
    ),
    Row(
        r"func '?(?P<func>[^' ]*)'? (?:is not|isn't) (?:attachable|sleepable)|"
        r"(?P<func2>\S+) is not sleepable|not (?:modif|allowed to modify).*return|"
        r"(?P<func3>\S+)\(\) is not modifiable",
        "the kernel does not allow a program of this kind on that function",
        "attach without .s, or to another function: fmod_ret needs one that is marked for error injection "
        "or security_*",
    ),
    Row(
        r"(?:Only fentry/fexit|Syscall programs can only be sleepable|can be sleepable|"
        r"programs cannot be sleepable)",
        "this program type has no sleepable form, or only that",
        'write the section without .s (or SEC("syscall") as it is)',
    ),
)

BROAD = (
    Row(
        r"verifier (?:internal error|bug|BUG)|^BUG|BUG:? |[Bb]ug: |misconfigured|REG INVARIANTS VIOLATION|"
        r"internal bug|"
        r"BPF_PTR_POISON|unknown return type|invalid return type",
        "the verifier contradicts itself: this is a mistake of the kernel, not of the program",
        "report it to bpf@vger.kernel.org with the log, and try a newer kernel",
    ),
    Row(
        r"Tracing programs must provide btf_id|attach_btf_id|FENTRY/FEXIT program can only be attached|"
        r"attach to (?:invalid|unsupported) member|BPF_LSM_CGROUP|Subprog .* doesn't|target program|"
        r"tracing_multi|is not a (?:kernel )?function|"
        r"can only be attached to|Cannot (?:replace|recursively|nest|extend)|[Ee]xtension program|"
        r"Can attach to only|"
        r"Only FENTRY/FEXIT|The address of function|can't modify return codes|"
        r"Attach(?:ing)? .*(?:not supported|rejected)|"
        r"[Tt]arget program bound",
        "what the program attaches to does not exist, or is of another kind than this program type attaches "
        "to",
        "name an existing target in the section: a function for fentry, a tracepoint for tp_btf, a hook for "
        "lsm",
    ),
    Row(
        r"must have a GPL compatible license|GPL",
        "programs of this type must have a licence that is compatible with the GPL",
        'declare it: char LICENSE[] SEC("license") = "GPL"',
    ),
    Row(
        r"missing btf func_info|func[_ ]?info|same or smaller insn offset|missing bpf_line_info|[Ll]ine_info|"
        r"core_relo|"
        r"(?:LD_ABS|tail_call) is (?:not allowed in subprogs without BTF|"
        r"only allowed in functions that return 'int')",
        "the BTF of this program does not match its functions and lines, or a function with tail calls does "
        "not return int",
        "compile with -g by one clang and strip with `llvm-strip -g` only; let functions with tail calls "
        "return int",
    ),
    Row(
        r"kernel is missing BTF|in-kernel BTF is malformed|CONFIG_DEBUG_INFO_BTF|vmlinux BTF",
        "this kernel has no BTF that can be read",
        "use a kernel with CONFIG_DEBUG_INFO_BTF=y",
    ),
    Row(
        r"ldimm64|pseudo btf_id|btf_id \d+|invalid type id|BTF[ _](?:fd|id)|module BTF|"
        r"unable to resolve the size of type",
        "a kernel variable, function or type that this program names is not in the kernel's BTF as it is "
        "used here",
        "compare the name and its type with the kernel's BTF: `bpftool btf dump file "
        "/sys/kernel/btf/vmlinux`",
    ),
    Row(
        r"must point to kernel BTF|Helper has invalid btf_id|R\d+ has no valid kptr",
        "this pointer is no object of the kernel's BTF",
        "pass a pointer to a kernel struct that the program got as an argument",
    ),
    Row(
        r"invalid insn code|unknown (?:opcode|insn class)|uses reserved fields|invalid BPF_(?:ALU|JMP|LD)|"
        r"invalid (?:BPF_LD|BPF_ALU|atomic)|"
        r"BPF_ATOMIC uses invalid|invalid atomic operand|bad (?:insn|opcode)|BPF_MEMSX|BPF_\w+ uses",
        "the object has an instruction that this kernel does not know: it was compiled for a newer "
        "generation of BPF",
        "compile for an older one: -mcpu=v3 (5.12 and newer for atomics), -mcpu=v2 or -mcpu=v1",
    ),
    Row(
        r"struct_ops|member \S+ of struct",
        "the program implements a function of a kernel struct that this kernel does not let programs "
        "implement",
        "leave that member out, or use the kernel that has it",
    ),
)
"""Patterns that are tried after those of all themes."""
