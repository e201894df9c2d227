// Run-time choice of the instruction set for hot loops.
#ifndef CASCADE_TF_COMMON_VECTORIZE_H_
#define CASCADE_TF_COMMON_VECTORIZE_H_

// A function marked CASCADE_TF_VECTORIZED is compiled once per instruction set, and the loader picks the best one
// that the CPU has: a binary must not need the CPU of the machine that built it. Elsewhere (other compilers, other
// processors, no indirect functions in the C library) it is an ordinary function. A test that compares instruction
// sets defines the macro itself.
#if defined(CASCADE_TF_VECTORIZED)
#elif defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define CASCADE_TF_VECTORIZED __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define CASCADE_TF_VECTORIZED
#endif

#endif  // CASCADE_TF_COMMON_VECTORIZE_H_
