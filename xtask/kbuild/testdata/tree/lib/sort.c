# include <asm/gadget.h>
