#ifndef G
#define G
#include <linux/deep.h>
#endif
