obj-$(CONFIG_X86) += more.o
