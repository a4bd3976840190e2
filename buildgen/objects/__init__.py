"""What was built: ELF, BTF, .BTF.ext, relocations, disassembly, the difference of two builds."""
