/* The version of an LMDB engine, as its own header states it, in the module's .comment section: a binary tells what it
 * was made of, even where it cannot run.  Costs no memory. */

#include "lmdb.h"

#ifdef __ELF__
__asm__(".ident \"" MDB_VERSION_STRING "\"");
#endif
