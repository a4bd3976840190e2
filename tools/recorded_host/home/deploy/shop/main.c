int PART(void) { return 0; }
__attribute__((weak)) int main(void) { return PART(); }
