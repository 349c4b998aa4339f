#include <linux/gadget.h>
#include "body.c"
