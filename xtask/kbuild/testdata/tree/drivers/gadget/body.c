int body;
