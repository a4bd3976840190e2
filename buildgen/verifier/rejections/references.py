"""What must be given back: ring buffer records, sockets, kernel objects, locks, RCU sections, iterators."""

from buildgen.verifier.rejections.row import Row

ROWS = (
    Row(
        r"Unreleased reference id=\d+ alloc_insn=(?P<insn>\d+)(?=[\s\S]*)",
        "what {acquired} returned is still held on a path where the program returns",
        "give it back on every path, also in error branches: bpf_ringbuf_submit() or bpf_ringbuf_discard() "
        "for a record, the release function otherwise (bpf_sk_release(), bpf_task_release(), …)",
        "if (failed)\n\treturn 0;\nbpf_ringbuf_submit(e, 0);",
        "if (failed) {\n\tbpf_ringbuf_discard(e, 0);\n\treturn 0;\n}\nbpf_ringbuf_submit(e, 0);",
    ),
    Row(
        r"(?:tail_call|BPF_EXIT|bpf_throw|\S+) (?:instruction in \S+ \S+ )?would lead to reference leak|"
        r"reference leak",
        "something is still held where the program ends or calls another",
        "release it before: submit or discard the record, release the object, unlock",
    ),
    Row(
        r"reference has not been acquired before|release (?:kernel function|kfunc|"
        r"helper).*expects refcounted|expects refcounted|"
        r"R\d+ must be referenced when passed to release|arg \d+ is an unacquired reference",
        "an object is released that this program does not hold: it was not acquired here, or is released "
        "twice",
        "release once, and only what an acquiring function returned",
    ),
    Row(
        r"must have zero offset when passed to release|R\d+ must have zero offset",
        "the pointer was moved: release and kernel functions take the object's start",
        "keep the pointer that was returned, and pass that",
    ),
    Row(
        r"function calls are not allowed while holding a lock",
        "between bpf_spin_lock() and bpf_spin_unlock() nothing may be called: other CPUs wait meanwhile",
        "call {helper} before the lock, keep its result in a variable, and use that inside",
        "bpf_spin_lock(&v->lock);\nv->n = bpf_ktime_get_ns();",
        "__u64 now = bpf_ktime_get_ns();\nbpf_spin_lock(&v->lock);\nv->n = now;",
    ),
    Row(
        r"bpf_spin_unlock is missing|\S*spin_lock\S*-ed region|\S+ cannot be used inside bpf_spin_lock|"
        r"bpf_res_spin_unlock.*missing",
        "a lock is still held on a path where the program returns or calls",
        "unlock on every path before returning",
    ),
    Row(
        r"can't spin_\{lock,unlock\} in rbtree cb|Locking two bpf_spin_locks|"
        r"bpf_spin_unlock without taking a lock|"
        r"bpf_spin_unlock of different lock|bpf_res_spin_\w+ ",
        "a program may hold one lock, and must release that one",
        "take one lock at a time, and unlock the same",
    ),
    Row(
        r"bpf_spin_lock cannot be accessed directly|bpf_(?:timer|wq|res_spin_lock|list_head|list_node|"
        r"rb_root|rb_node|refcount|task_work)\w* cannot be accessed directly|"
        r"\S+ cannot be accessed (?:directly|indirectly)",
        "a field that belongs to the kernel (lock, timer, list, kptr) is read, written or copied like data",
        "access the other fields one by one, and do not copy the whole value with a helper; use the helpers "
        "for that field",
    ),
    Row(
        r"(?:bpf_spin_lock|bpf_timer|bpf_wq|bpf_res_spin_lock|bpf_rb_root|bpf_list_head|"
        r"kptr)\S* has to be at the constant offset|"
        r"doesn't point to 'struct bpf_\w+'|map '(?P<map>[^']*)' (?:has to have BTF|has more than one|"
        r"doesn't have|is not a struct type|has no valid)|"
        r"must have constant offset|doesn't have constant offset|has to be at (?:a|the) constant offset|"
        r"has no valid bpf_",
        "the pointer does not point exactly to the lock, timer or list in the map's value, or the value has "
        "none",
        "declare it as a field of the value's struct (struct bpf_spin_lock lock;), and pass &value->lock",
    ),
    Row(
        r"(?P<kind>socket filter|tracing|sleepable|\w+) prog(?:ram)?s cannot use (?P<what>bpf_\w+|"
        r"\w+)(?: yet)?",
        "programs of this type cannot use {what}",
        "use per-CPU maps or atomic operations (__sync_fetch_and_add) instead",
    ),
    Row(
        r"(?:bpf_rcu_read_unlock|rcu_read_unlock|bpf_rcu_read_lock|bpf_preempt_(?:en|dis)able|"
        r"bpf_local_irq_\w+).*|"
        r"unmatched rcu read|nested rcu read|rcu read (?:lock|unlock)|(?:preempt|IRQ|"
        r"irq)[ -]\S*(?:disabled|region|flag|restore|state)",
        "a section without preemption, interrupts or with the RCU read lock is not closed, not open, or "
        "closed in the wrong order",
        "pair each lock with its unlock on every path, in reverse order, and call nothing that sleeps inside",
    ),
)

BROAD = (
    Row(
        r"must be held for|held lock and object|rbtree_remove not allowed|operation on \S+ expects|"
        r"not found at offset|"
        r"arg#\d+ offset=|in (?:unnecessary )?rbtree callback|bpf_percpu_obj|local type ID|bpf_refcount",
        "a list, tree or object that the program owns is used without its lock, or with a field of another "
        "object",
        "hold the bpf_spin_lock beside the list or tree around the call, and pass the node that the root "
        "declares",
    ),
    Row(
        r"expected an? (?:RCU|rcu) (?:CS|critical section)|css_task_iter is only allowed",
        "this iterator is allowed only while the RCU read lock is held, or in sleepable programs of some "
        "types",
        "call bpf_rcu_read_lock() before it is made, and bpf_rcu_read_unlock() behind it",
    ),
    Row(
        r"expected (?:an? )?(?:un)?(?:initialized|valid) iter|iterator|iter_\w+|bpf_iter_\w+",
        "an open-coded iterator is used that is not initialised, is already, or was moved",
        "call bpf_iter_…_new() once, then _next() until it returns NULL, then _destroy() on every path",
    ),
    Row(
        r"[Dd]ynptr",
        "a dynptr is used in a way that the verifier cannot follow: not initialised, overwritten, of "
        "another kind, or passed on its own stack slot's middle",
        "initialise it with bpf_dynptr_from_…() or bpf_ringbuf_reserve_dynptr(), pass its address, write to "
        "it through helpers only, and submit or discard a ring buffer's on every path",
    ),
    Row(
        r"kptr|R\d+ invalid kptr|non-?owning|bpf_(?:list|rbtree|obj)_\w+|bpf_rb_\w+|graph (?:root|node)|"
        r"node(?:_| )off|allocated object|local kptr",
        "a pointer to an object that the program owns (kptr, list or tree node) is of another type, at "
        "another place or state than the function takes",
        "pass the object with the type and field that the map's value declares; add to lists and trees "
        "under their lock, and take kptrs out with bpf_kptr_xchg()",
    ),
)
"""Patterns that are tried after those of all themes."""
