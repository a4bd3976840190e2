"""Memory: values of maps, the stack, buffers, the context, fields of kernel objects."""

from buildgen.verifier.rejections.row import Row

_BOUND = (
    "check the index against both ends directly before the access, with an unsigned type, or mask it with & "
    "(SIZE - 1)"
)

ROWS = (
    Row(
        r"R(?P<reg>\d+) invalid mem access '(?:map_value_or_null|map_value_or_null\(.*)'",
        "a map lookup returns NULL when there is no such key, and this pointer is used without a check for "
        "NULL",
        "check the result of bpf_map_lookup_elem() for NULL, and use it only behind the check",
        "long *v = bpf_map_lookup_elem(&m, &key);\n*v += 1;",
        "long *v = bpf_map_lookup_elem(&m, &key);\nif (!v)\n\treturn 0;\n*v += 1;",
    ),
    Row(
        r"R(?P<reg>\d+) invalid mem access 'mem_or_null'",
        "this pointer may be NULL, as each pointer that a global function gets, and it is used without a "
        "check",
        "check it for NULL before it is used, or make the function static: then it is verified with its "
        "caller's arguments",
        "__noinline int fill(struct conn *c)\n{\n\tc->src = 1;",
        "__noinline int fill(struct conn *c)\n{\n\tif (!c)\n\t\treturn 0;\n\tc->src = 1;",
    ),
    Row(
        r"R(?P<reg>\d+) invalid mem access '(?P<type>\w*_or_null_?)'",
        "this pointer may be NULL ({type}), and it is used without a check",
        "check it for NULL before it is used; return when it is",
        "c->src = 1;",
        "if (!c)\n\treturn 0;\nc->src = 1;",
    ),
    Row(
        r"R(?P<reg>\d+) invalid mem access '(?:inv|scalar|unknown)'",
        "a plain number is used as an address: to the verifier this value is no pointer that may be "
        "followed. It is a kernel address read with a helper, or a pointer that lost its type on the way",
        "read through it with bpf_probe_read_kernel() or BPF_CORE_READ(); a packet pointer: load data and "
        "data_end again",
        "struct task_struct *t = (void *)bpf_get_current_task();\npid = t->pid;",
        "struct task_struct *t = (void *)bpf_get_current_task();\npid = BPF_CORE_READ(t, pid);",
    ),
    Row(
        r"R(?P<reg>\d+) invalid mem access '(?:map_ptr|const_map_ptr)'",
        "the map itself is read as if it were its value",
        "look the value up with bpf_map_lookup_elem(), then follow the pointer that it returns",
        "__u32 v = *(__u32 *)&settings;",
        "__u32 zero = 0, *v = bpf_map_lookup_elem(&settings, &zero);\nif (!v)\n\treturn 0;",
    ),
    Row(
        r"only read from \w+ is supported|map_ptr access not supported|access beyond struct bpf_map|"
        r"in struct bpf_map with off",
        "the map itself is used as if it were its value",
        "look the value up with bpf_map_lookup_elem(), then follow the pointer that it returns",
    ),
    Row(
        r"R(?P<reg>\d+) invalid mem access '(?P<type>pkt_end)'",
        "data_end says where the packet ends; nothing can be read from there",
        "read from a pointer that comes from data and was compared with data_end",
    ),
    Row(
        r"R(?P<reg>\d+) min value is negative, either use unsigned (?:index or do a if|or 'var &= const')",
        "the verifier sees that this value can be negative: only its upper end was checked, or its type is "
        "signed",
        "use an unsigned type, or check both ends before the use: if (n < 0 || n > MAX) return 0",
        "long n = ctx->ret;\nif (n > MAX)\n\treturn 0;",
        "__u32 n = ctx->ret;\nif (n > MAX)\n\treturn 0;",
    ),
    Row(
        r"R(?P<reg>\d+) unbounded memory access, use 'var &= const' or 'if \(var < const\)'",
        "the size that is given to a helper has no upper limit that the verifier knows",
        "limit it directly before the call: if (n > sizeof(buffer)) n = sizeof(buffer), or n &= "
        "sizeof(buffer) - 1",
        "bpf_probe_read_user(b, n, from);",
        "if (n > sizeof(b))\n\tn = sizeof(b);\nbpf_probe_read_user(b, n, from);",
    ),
    Row(
        r"R(?P<reg>\d+) unbounded memory access, make sure to bounds check any such access",
        "the index has no upper limit that the verifier knows, so the access may lie anywhere",
        _BOUND,
        "s->hits[slot]++;",
        "if (slot >= 64)\n\treturn 0;\ns->hits[slot]++;",
    ),
    Row(
        r"R(?P<reg>\d+) (?:invalid zero-sized read|invalid zero-sized)|invalid zero-sized read",
        "the size that is given to a helper may be 0, and this helper does not take a size of 0",
        "check the size before the call: if (n == 0) return 0, and keep its upper limit",
        "n &= 0xff;",
        "n &= 0xff;\nif (!n)\n\treturn 0;",
    ),
    Row(
        r"invalid access to map value, value_size=(?P<size>\d+) off=(?P<off>-?\d+) size=(?P<len>\d+)",
        "an access of {len} bytes at offset {off} can leave the map's value, which has {size} bytes",
        "make sure that offset + size stays within {size} bytes: check the offset against (sizeof(value) - "
        "size), or make the value larger",
        "if (off < sizeof(b->d))\n\tbpf_probe_read_user_str(&b->d[off], 64, arg);",
        "if (off < sizeof(b->d) - 64)\n\tbpf_probe_read_user_str(&b->d[off], 64, arg);",
    ),
    Row(
        r"invalid access to map key, key_size=(?P<size>\d+) off=(?P<off>-?\d+) size=(?P<len>\d+)",
        "an access of {len} bytes at offset {off} leaves the map's key, which has {size} bytes",
        "read within the {size} bytes of the key",
    ),
    Row(
        r"invalid access to map value pointer|direct value offset of \d+ is not allowed",
        "the address of a global variable lies outside of its section",
        "keep the address of global variables inside of the variable; compile again",
    ),
    Row(
        r"invalid access to memory, mem_size=(?P<size>\d+) off=(?P<off>-?\d+) size=(?P<len>\d+)",
        "an access of {len} bytes at offset {off} leaves the memory that this pointer was given for, {size} "
        "bytes",
        "check the offset before the access, or ask for more memory where the pointer comes from",
    ),
    Row(
        r"write into map forbidden|R\d+ cannot write into rdonly|cannot write into (?:rdonly|map_key)",
        "this memory is read-only: a const variable, .rodata, or a map that programs may not change",
        "write to a variable that is not const (it goes into .data or .bss), or change the value before the "
        "program is loaded",
        "const volatile __u32 limit = 5;",
        "__u32 limit = 5;",
    ),
    Row(
        r"R\d+ cannot write into (?P<type>\S+)|write to change key R\d+ not allowed",
        "memory of this kind may be read, not written",
        "copy it to the stack or to a map's value, and change the copy",
    ),
    Row(
        r"read from map forbidden",
        "programs may not read this map (BPF_F_WRONLY_PROG)",
        "remove BPF_F_WRONLY_PROG from the map's flags",
    ),
    Row(
        r"invalid unbounded variable-offset(?P<way> read from| write to|"
        r" indirect access to)? stack R(?P<reg>\d+)",
        "an array on the stack is accessed at an index that has no limit",
        "limit the index directly before the access, e.g. n &= sizeof(array) - 1, so that index + size "
        "stays inside of the array",
        "bpf_probe_read_user_str(path + n, 32, from);",
        "if (n > sizeof(path) - 32)\n\treturn 0;\nbpf_probe_read_user_str(path + n, 32, from);",
    ),
    Row(
        r"invalid variable-offset.* stack R(?P<reg>\d+)|variable offset stack (?:pointer|access)|"
        r"R\d+.* variable (?:offset )?stack access prohibited|stack pointer arithmetic goes out of range",
        "an array on the stack is accessed at an index that can leave the array",
        "limit the index so that index + size stays inside of the array, or use a constant index",
    ),
    Row(
        r"invalid.* stack R\d+ off=(?P<off>-?\d+) size=(?P<len>\d+)|invalid stack (?:type|off)",
        "this accesses {len} bytes of the stack at {off}, where this function has not so much: a key, value "
        "or buffer is smaller than what is read from it, or the 512 bytes of the stack are over",
        "make the variable as large as what is accessed: keys and values must have the size in the map's "
        "definition",
        "__u32 key = 1; /* the map has __type(key, __u64) */",
        "__u64 key = 1;",
    ),
    Row(
        r"invalid(?: indirect)? read from (?:stack|map) (?:R\d+ )?(?:off|var_off)|invalid read from stack|"
        r"uninit stack in range",
        "bytes of the stack are read that nothing was written to: a variable or the padding of a struct is "
        "not initialised, or more is read than was set",
        "set all of it before it is used: struct key k = {{}}, or __builtin_memset(&k, 0, sizeof(k)) for "
        "its padding",
        "struct key k;\nk.port = port;",
        "struct key k = {};\nk.port = port;",
    ),
    Row(
        r"R(?P<reg>\d+) invalid (?P<type>\w+) buffer access: off=(?P<off>-?\d+), size=(?P<len>\d+)|"
        r"R\d+ invalid variable buffer offset",
        "this leaves the buffer that the kernel gave",
        "access it at a constant offset within the size that this kernel's type has",
    ),
    Row(
        r"func '(?P<func>[^']*)' doesn't have (?P<number>\d+)-th argument",
        "{func} has fewer arguments in this kernel than this program reads",
        "declare only the arguments that {func} has in this kernel: look them up in vmlinux.h "
        "(btf_trace_{func} for tp_btf)",
    ),
    Row(
        r"func '(?P<func>[^']*)' (?:arg\d+|size|offset|invalid|.*)(?: type \w+ is not a struct|"
        r" is not pointer to| isn't a pointer)",
        "this argument of {func} is no pointer to a struct that a program may follow",
        "read through it with bpf_probe_read_kernel(), or use an argument that is a pointer to a struct",
    ),
    Row(
        r"invalid bpf_context access off=(?P<off>-?\d+) size=(?P<len>\d+)",
        "programs of type {program_type} may not access {field} in this way ({len} bytes at offset {off} of "
        "their context): the field is not there, is not for this type or attach point, is read-only, or has "
        "another size",
        "use only fields that this program type has, each in its own size, and the right context struct for "
        "this section; a socket filter reads the packet with bpf_skb_load_bytes()",
    ),
    Row(
        r"invalid access to flow keys|invalid access to bpf_flow_keys",
        "this leaves struct bpf_flow_keys",
        "use the fields of struct bpf_flow_keys by name",
    ),
    Row(
        r"R(?P<reg>\d+) invalid (?P<type>\w+) access off=(?P<off>-?\d+) size=(?P<len>\d+)",
        "programs of this type may not access {len} bytes at offset {off} of a {type}",
        "use only the fields of that struct which include/uapi/linux/bpf.h has, each in its own size",
    ),
    Row(
        r"is ptr_\S+ access (?:user|percpu) memory|access (?:user|percpu) memory",
        "this pointer does not point into the kernel's own memory (user or per-CPU memory)",
        "read it with bpf_probe_read_user(), or make a pointer of this CPU with "
        "bpf_this_cpu_ptr()/bpf_per_cpu_ptr()",
    ),
    Row(
        r"no write support to (?P<struct>\w+) at off (?P<off>\d+)",
        "programs may not change this field of {struct} (offset {off}): the kernel allows a few fields only",
        "leave the field, or use a helper or kfunc that sets it, e.g. bpf_setsockopt()",
    ),
    Row(
        r"only read is supported|BPF_(?:ST|STX|ATOMIC).*(?:is not allowed|stores into)",
        "fields of kernel objects may be read, not written",
        "use a helper or kfunc that changes it; otherwise keep your own data in a map",
    ),
    Row(
        r"R(?P<reg>\d+) (?:is )?(?:!read_ok|not read_ok)",
        "{unset}",
        "give it a value on every path before it is used; a function must return a value on each of its ends",
        "int n;\nif (x)\n\tn = 1;\nreturn n;",
        "int n = 0;\nif (x)\n\tn = 1;\nreturn n;",
    ),
)

BROAD = (
    Row(
        r"R(?P<reg>\d+) invalid mem access '(?P<type>[^']*)'",
        "a pointer of type {type} cannot be followed here",
        "use the helper that reads such an object, or check and keep the pointer in the type that it was "
        "given as",
    ),
    Row(
        r"R(?P<reg>\d+) (?:min|max) value is (?:outside of the (?:allowed memory|array|\w+) range|negative)",
        "the index can lie outside of the memory that is accessed",
        _BOUND,
    ),
    Row(
        r"R(?P<reg>\d+) is ptr_(?P<type>\S+) (?:invalid negative access|invalid variable offset)|"
        r"R\d+ is \S+ invalid negative access|access beyond (?:struct|the end)|(?:access|"
        r"cannot access).*(?:struct|member)",
        "this leaves the kernel's struct, or does not hit one of its fields",
        'access a field by its name and type, as BTF has it: #include "vmlinux.h" of this kernel, with CO-RE',
    ),
    Row(
        r"arena|addr_space",
        "this program uses an arena in a way that this kernel does not take",
        "use bpf_arena_alloc_pages() and pointers with __arena, in a program that has the arena map",
    ),
)
"""Patterns that are tried after those of all themes."""
