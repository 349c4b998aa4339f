#include <linux/gadget.h>
