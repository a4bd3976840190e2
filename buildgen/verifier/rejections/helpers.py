"""Calls: helpers, kernel functions, their arguments, callbacks and functions of the program."""

from buildgen.verifier.rejections.row import Row

ROWS = (
    Row(
        r"(?:cannot call GPL-restricted function|"
        r"cannot call kernel function) from non-GPL compatible program",
        "{helper} may be called only by programs whose licence is compatible with the GPL",
        'declare such a licence: char LICENSE[] SEC("license") = "GPL" (or "Dual BSD/GPL", "Dual MIT/GPL")',
        'char LICENSE[] SEC("license") = "Proprietary";',
        'char LICENSE[] SEC("license") = "Dual BSD/GPL";',
    ),
    Row(
        r"(?:invalid func |unknown func )unknown#195896080|invalid CO-RE relocation|"
        r"failed to resolve CO-RE relocation",
        "a CO-RE relocation did not match the kernel: a struct, field or enumerator that the program uses "
        "is not there",
        "guard the access with bpf_core_field_exists(), bpf_core_type_exists() or "
        "bpf_core_enum_value_exists(), or use the name that this kernel gives it",
    ),
    Row(
        r"program of this type cannot use helper (?P<func>[\w#]+)|unknown func (?P<func2>\w+)#\d+|"
        r"invalid func (?P<func3>\w+)#\d+|"
        r"func (?P<func4>\w+)#\d+ not supported for program type|func (?P<func5>\w+)#\d+ supported only for",
        "programs of type {program_type} may not call {helper}, or this kernel does not have it",
        "use a helper that this type has (`bpftool feature probe` lists them), or move the work to a "
        "program of a type that has it",
    ),
    Row(
        r"calling kernel function (?P<func>\S+) is not allowed|kfunc \S+ is not allowed|"
        r"kernel function (?P<func2>\S+) .*not allowed",
        "programs of type {program_type} may not call the kernel function {func}",
        "call it from a program type for which the kernel registers it (often tp_btf, lsm, fentry, "
        "struct_ops, syscall or an iterator), or use a helper instead",
    ),
    Row(
        r"helper call might sleep in a non-sleepable prog|(?:kernel func(?:tion)?|"
        r"kfunc) \S+ (?:is )?(?:might )?sleep\w*|"
        r"program must be sleepable to call sleepable kfunc|sleepable (?:helper|kfunc|kernel|"
        r"global).*(?:non-sleepable|in )|"
        r"global func\w* (?:calls|that may sleep)? ?(?:are|is) not allowed",
        "{helper} may sleep, and this program runs where nothing may sleep",
        "make the program sleepable with the section's .s form (fentry.s/, lsm.s/, iter.s/, uprobe.s/) "
        "where the kernel offers one, or use a helper that does not sleep: bpf_probe_read_user() instead of "
        "bpf_copy_from_user()",
        'SEC("fentry/do_unlinkat")',
        'SEC("fentry.s/do_unlinkat")',
    ),
    Row(
        r"helper call is not allowed in probe",
        "this helper is not allowed in a program of this type",
        "use another helper",
    ),
    Row(
        r"cannot pass map_type (?P<map_type>\d+) into func (?P<func>\w+)#",
        "{func}() does not work on a map of type {map_name}",
        "use a map of the type that {func}() is for; programs cannot change a prog_array, for instance, "
        "only its loader can",
    ),
    Row(
        r"expected prog array map for tail call|tail_call abusing map_ptr",
        "bpf_tail_call() takes a map of type BPF_MAP_TYPE_PROG_ARRAY",
        "pass a prog_array map, always the same one",
        "__uint(type, BPF_MAP_TYPE_HASH);",
        "__uint(type, BPF_MAP_TYPE_PROG_ARRAY);",
    ),
    Row(
        r"R(?P<reg>\d+) type=(?P<type>\S*) expected=(?:map_ptr|const_map_ptr)|"
        r"pointer in R\d+ isn't map pointer",
        "argument {argument} of {helper} must be a map, and this is not one: the variable is not in "
        'SEC(".maps"), or is a pointer to its value',
        'put the map\'s definition into SEC(".maps") and pass its address',
        "struct { … } m;",
        'struct { … } m SEC(".maps");',
    ),
    Row(
        r"R(?P<reg>\d+) type=(?P<type>\S*) expected=ctx",
        "argument {argument} of {helper} must be the program's own context, and this is {type_words}",
        "pass ctx, as the program got it: in BPF_PROG() and BPF_KPROBE() functions that is the variable ctx",
        "bpf_perf_event_output(p, &events, …);",
        "bpf_perf_event_output(ctx, &events, …);",
    ),
    Row(
        r"R(?P<reg>\d+) type=(?:inv|scalar)\S* expected=(?P<expected>.*fp.*)",
        "argument {argument} of {helper} must point to memory, and a plain number is passed",
        "put the value into a variable and pass the address of that",
        "bpf_map_lookup_elem(&m, (void *)(long)mark);",
        "__u32 key = mark;\nbpf_map_lookup_elem(&m, &key);",
    ),
    Row(
        r"R(?P<reg>\d+) type=(?P<type>\w*_or_null_?)\S* expected=(?P<expected>.*)",
        "argument {argument} of {helper} may be NULL, and this function does not take NULL",
        "check the pointer for NULL before the call",
    ),
    Row(
        r"R(?P<reg>\d+) type=(?P<type>\S*) expected=(?P<expected>.*)",
        "argument {argument} of {helper} is {type_words}; it takes {expected}",
        "pass what the helper takes; copy to the stack what it cannot read where it is",
    ),
    Row(
        r"R(?P<reg>\d+) must be a(?:n)? rcu pointer|R\d+ must be (?:a )?(?:referenced|trusted)|"
        r"must be a trusted|"
        r"expected=trusted_ptr|R\d+ (?:is )?untrusted|untrusted_ptr",
        "this pointer was read from a kernel object: nothing makes sure that what it points to still exists",
        "use a pointer that the kernel vouches for: an argument of the program, or one from an acquiring "
        "function (bpf_task_from_pid(), bpf_task_acquire()), or read it between bpf_rcu_read_lock() and "
        "_unlock() when the field is __rcu; to read fields only, use BPF_CORE_READ()",
        "t = bpf_task_acquire(p->last_wakee);",
        "t = bpf_task_from_pid(BPF_CORE_READ(p, last_wakee, pid));",
    ),
    Row(
        r"Possibly NULL pointer passed to (?:trusted|helper) arg(?P<arg>\d+)",
        "argument {arg} (counted from 0) of {helper} may be NULL here, and it does not take NULL",
        "check the pointer for NULL before the call; what was released or handed over must not be used again",
        "bpf_task_release(task);",
        "if (task)\n\tbpf_task_release(task);",
    ),
    Row(
        r"may write into memory pointed by R(?P<reg>\d+)",
        "argument {reg} of {helper} is written to, and points to memory that may only be read",
        "pass a buffer on the stack or in a map's value",
    ),
    Row(
        r"R(?P<reg>\d+) is of type (?P<is_type>\S+) but (?P<expected>\S+) is expected",
        "argument {argument} of {helper} is a {is_type}; it takes a {expected}",
        "pass a pointer to {expected}",
    ),
    Row(
        r"R(?P<reg>\d+) is not a (?:known constant|const|scalar)|buf_size exceeds|"
        r"R\d+ must be a known constant|must be a known constant",
        "this argument must be a constant that the verifier knows on every path",
        "pass a literal, or sizeof(); not a variable whose value depends on the path",
    ),
    Row(
        r"Invalid format string|R\d+ does not point to a readonly map|R\d+ is not a constant address|"
        r"string is not zero-terminated|"
        r"direct value access on string failed|no direct value access support for this map type",
        "the format is not one that the kernel's printf takes: it must be a constant string with at most 12 "
        "arguments, and %f, %n, %e and widths from arguments do not exist",
        "use %d %u %x %lld %llu %p %pK %s %pi4 and the like; print a fraction as two integers",
        'BPF_SNPRINTF(out, sizeof(out), "%f", mark);',
        'BPF_SNPRINTF(out, sizeof(out), "%d", mark);',
    ),
    Row(
        r"At callback return the register R0|In async callback the register R0|"
        r"At subprogram exit the register R0 is not a scalar",
        "a callback must return 0 to go on or 1 to stop (a timer's: 0), and this one can return something "
        "else",
        "return 0 or 1 as a constant on each path of the callback",
        "return i;",
        "return 0;",
    ),
    Row(
        r"arg#(?P<arg>\d+) reference type\('(?P<type>[^']*)'\) size cannot be determined",
        "argument {arg} of a global function points to a type that has no size here ({type}): what may be "
        "read is not known",
        "make the function static, or give the argument a complete struct type",
        "__noinline int f(struct opaque *o)",
        "static __noinline int f(struct opaque *o)",
    ),
    Row(
        r"Global function (?P<func>\S+?)\(?\)? doesn't return scalar",
        "the global function {func} returns a pointer or nothing: functions that are verified on their own "
        "return a number",
        "make the function static, or let it return an integer",
        "__noinline void *give(struct __sk_buff *s)",
        "static __noinline void *give(struct __sk_buff *s)",
    ),
    Row(
        r"cannot return stack pointer to the caller|R0 not a scalar value",
        "a function returns a pointer into its own stack, or something that is no number",
        "return a number, and let the caller pass a buffer",
    ),
    Row(
        r"destructive kfunc calls require",
        "this kernel function can bring the host down, and needs CAP_SYS_BOOT",
        "load it with CAP_SYS_BOOT, or do not call it",
    ),
    Row(
        r"timer pointer in R1 map_uid|workqueue pointer",
        "the timer is in another map than the one that is passed",
        "pass the map whose value has the timer",
    ),
)

BROAD = (
    Row(
        r"Caller passes invalid args into func#(?P<number>\d+)(?: \('(?P<func>[^']*)'\))?|"
        r"[Ff]unc#\d+ .*invalid|"
        r"arg ?#?\d+ |Function \S+ has \d+ > \d+ args|arg#\d+ (?:type|expected|is not|must|pointer|reg).*|"
        r"R\d+ is not a pointer|arg \d+ .*",
        "the arguments of this call do not match what the function takes: the verifier looks at a global "
        "function, and at a kernel function, by its types alone",
        "pass the types that the function declares, NULL-checked; or make the function static, so that it "
        "is verified together with its caller",
    ),
    Row(
        r"callback function not (?:static|allowed)|callback function cannot be the main|callbacks? .*not|"
        r"cannot (?:be|call) .*callback|R\d+ .*callback",
        "a callback must be a static function of this object, for a helper that takes one",
        "make the callback static, and pass it by its name",
    ),
    Row(
        r"kernel function|kfunc|[Kk]ernel function call|JIT does not support|JIT is required",
        "this kernel function is called with something that it does not take, or cannot be called on this "
        "machine",
        "compare with its declaration in the kernel's BTF (`bpftool btf dump file /sys/kernel/btf/vmlinux "
        "format c`), and check each argument for NULL before",
    ),
    Row(
        r"call to invalid destination|invalid (?:insn|instruction) idx|No program starts at insn|"
        r"unrecognized bpf_ld_imm64|call.* out of range",
        "a call leads to where no function begins: a symbol was not linked into this object",
        "define the function in this object, or link the objects with `bpftool gen object`",
    ),
    Row(
        r"loading/calling other bpf or kernel functions are allowed for|"
        r"function calls to other bpf functions are allowed for",
        "functions of the program may be called only with CAP_BPF",
        "load it with CAP_BPF (sudo), or make the function __always_inline",
    ),
    Row(
        r"get_local_storage\(\)|only one cgroup storage|cgroup storage",
        "the local storage of a cgroup is used with flags or with more than one map of a kind",
        "use one map of type cgroup_storage and flags 0",
    ),
)
"""Patterns that are tried after those of all themes."""
