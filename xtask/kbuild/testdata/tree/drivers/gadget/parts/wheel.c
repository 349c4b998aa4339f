#include "../local.h"
