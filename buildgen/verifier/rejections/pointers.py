"""Pointers: arithmetic with them, copies of them, and how they may be used."""

from buildgen.verifier.rejections.row import Row

ROWS = (
    Row(
        r"math between (?P<type>\w+) pointer and register with unbounded min value is not allowed",
        "the offset that is added to a pointer may be negative without limit: only its upper end was "
        "checked, or its type is signed",
        "use an unsigned type for the offset, or check both ends: if (off < 0 || off >= MAX) return 0",
        "long off = ctx->args[2];\nif (off < 4096)\n\tb->d[off] = 1;",
        "unsigned long off = ctx->args[2];\nif (off < 4096)\n\tb->d[off] = 1;",
    ),
    Row(
        r"value -?\d+ makes (?P<type>\w+) pointer be out of bounds|"
        r"(?P<type2>\w+) pointer offset -?\d+ is not allowed|"
        r"math between (?P<type3>\w+) pointer and -?\d+ is not allowed",
        "the offset that is added to a pointer is larger than any object may be",
        "limit the offset before it is added to the pointer",
    ),
    Row(
        r"(?:corrupted spill memory|invalid size of register (?:fill|spill)|"
        r"attempt to corrupt spilled pointer|"
        r"cannot spill pointers to stack into stack frame of the caller|leaking pointer from stack)",
        "a pointer that was saved on the stack is read or overwritten in part",
        "keep pointers in variables of pointer type, and copy no struct that has pointers byte by byte",
    ),
    Row(
        r"dereference of modified (?P<type>\w+) ptr|variable (?P<type2>\w+) access var_off|"
        r"negative offset (?P<type3>\w+) ptr",
        "the context is accessed at an offset that is not a constant: the kernel rewrites each access to "
        "the context, and can do that only for ctx + constant",
        "use each field by its name, e.g. in a switch, or copy the fields into an array on the stack first",
        "return ctx->args[n & 3];",
        "switch (n & 3) {\ncase 0: return ctx->args[0];\ncase 1: return ctx->args[1];\n}",
    ),
    Row(
        r"misaligned (?:packet |value |stack |context |pointer to ctx )?access|misaligned",
        "the address is not a multiple of the access's size, which this program or machine requires",
        "align the field, or read it byte by byte; use a struct without __attribute__((packed)) on the stack",
    ),
    Row(
        r"R(?P<reg>\d+) leaks addr|leaks addr (?:into|as)",
        "a kernel address would be written to where others can read it",
        "store the value that the pointer points to, not the pointer; a return value must be a number",
    ),
    Row(
        r"same insn cannot be used with different pointers|same insn(?: 0x\w+)? cannot",
        "one instruction accesses two kinds of memory, by the path that leads to it: the compiler merged "
        "two accesses",
        'keep the two accesses apart: put barrier_var() or asm volatile("") between them',
    ),
    Row(
        r"R(?P<reg>\d+) 32-bit pointer arithmetic prohibited|R\d+ partial copy of pointer|"
        r"R\d+ (?:32-bit )?sign-extension part of pointer|"
        r"R\d+ sign-extend(?:ed|ing)? (?:part of )?pointer",
        "a pointer is put into 32 bits, which destroys it",
        "hold pointers in variables of pointer type or long: (void *)(long)ctx->data",
        "int data = ctx->data;",
        "void *data = (void *)(long)ctx->data;",
    ),
    Row(
        r"R(?P<reg>\d+) pointer arithmetic on (?P<type>\w+_or_null_?) prohibited",
        "an offset is added to a pointer that may be NULL: after that, no check for NULL counts",
        "check the pointer for NULL first, then take the address of a field or add to it",
    ),
    Row(
        r"R(?P<reg>\d+) pointer arithmetic on (?P<type>pkt_end) prohibited",
        "data_end is for comparisons only, and something is computed with it: by the code itself, or "
        "because the compiler turned a comparison round",
        "write the check as data + size > data_end, with the sum on the side of data; put barrier_var() or "
        'asm volatile("" : "+r"(data)) '
        "before it when the compiler moves it",
        "if (end - p < 5)",
        "if (p + 5 > end)",
    ),
    Row(
        r"R(?P<reg>\d+) pointer arithmetic on (?P<type>map_ptr|const_map_ptr) prohibited",
        "the map itself is used as if it were an array",
        "look the value up with bpf_map_lookup_elem(), then index the pointer that it returns",
    ),
    Row(
        r"R(?P<reg>\d+) (?:bitwise operator (?P<op>\S+) on pointer prohibited|"
        r"pointer arithmetic with (?P<op2>\S+) operator prohibited|"
        r"pointer \S+ pointer prohibited|tried to subtract pointer from scalar|"
        r"subtraction from stack pointer prohibited)",
        "a pointer is used as a number: on pointers only + and - of numbers are allowed (ctx->data is a "
        "pointer, whatever its C type)",
        "use the pointer to read something, and compute with what was read; for a length subtract two "
        "packet pointers: data_end - data",
        "__u32 n = ctx->data;\nreturn n & 3;",
        "void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;\nreturn (end - data) & 3;",
    ),
    Row(
        r"R(?P<reg>\d+) (?:has unknown scalar with mixed signed bounds|"
        r"has pointer with unsupported alu operation|tried to \S+ from different|"
        r"tried to \S+ beyond pointer bounds|could not be pushed for speculative|"
        r"pointer comparison prohibited)|"
        r"pointer arithmetic of map value goes out of range",
        "without CAP_PERFMON a pointer may be used only in ways that leak no address, also in what the "
        "processor only guesses",
        "load it with CAP_PERFMON (sudo), or limit the offset with a mask before it is added",
    ),
    Row(
        r"frame pointer is read only|R\d+ is invalid\b",
        "the frame pointer, or a register that does not exist, is written",
        "compile the C source with clang again; do not write r10 in inline assembly",
    ),
)

BROAD = (
    Row(
        r"R(?P<reg>\d+) pointer arithmetic on (?P<type>\w+) prohibited|"
        r"pointer arithmetic (?:on \w+ )?prohibited",
        "nothing may be added to a pointer of this kind ({type})",
        "use the pointer as it was given, and take fields of it by name",
    ),
)
"""Patterns that are tried after those of all themes."""
